"""Tests of the pure part, a file for each of its modules."""
