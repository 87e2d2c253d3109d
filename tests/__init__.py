"""Tests: what the program promises, and the real parts that show it."""
