"""Decisions: pure functions of what was seen. No I/O, clock, randomness, logging or Kubernetes client."""
