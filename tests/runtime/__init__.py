"""Tests of the runtime that need no broker."""
