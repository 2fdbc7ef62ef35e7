"""Written proofs as steps that are checked, one file for a topic; found by folder."""
