"""Tests of the sieve: against the stock parser, against malicious bytes, against real logs."""
