"""A recorded exim4: from a system call trace to process events."""
