"""The figures of the papers, one script per group: each measures a table, saves it, and draws from what it saved.

Scripts use the public names of `ravine` and nothing else of the laboratory.
"""
