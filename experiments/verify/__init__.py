"""Verdicts: evidence for and against a claim, and the controls that show a check can fail."""
