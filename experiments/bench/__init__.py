"""How fast: each way of doing the same work timed in one run, so that a ratio means something on any machine."""
