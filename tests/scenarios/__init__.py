"""Attacks and ordinary days as sequences of processes, with the alerts that they must and must not raise."""
