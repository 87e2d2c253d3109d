"""The commands. They put core and runtime to use for a person at a terminal."""
