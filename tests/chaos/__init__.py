"""Faults on purpose: real workers on a real Kafka, and what must hold whatever happens to them."""
