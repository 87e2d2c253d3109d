"""A real Kafka for tests, and the tests that need one."""
