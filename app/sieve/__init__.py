"""The fast path, which drops records before they are parsed; knows bytes and offsets, nothing of rules."""
