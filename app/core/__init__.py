"""The pure core: decisions as functions over plain values.

Nothing here reads a clock, a file, the network or a random source, logs, or knows Faust or Kafka.
Time, positions and state come in as arguments; verdicts and records to write go out as results.
"""
