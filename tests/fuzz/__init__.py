"""Mutated records through everything that judges them: `make fuzz`, and a short form among the tests."""
