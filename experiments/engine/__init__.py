"""Running methods on problems."""
