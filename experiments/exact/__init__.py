"""Expectations without sampling: moment recursions, stationary moments, enumeration."""
