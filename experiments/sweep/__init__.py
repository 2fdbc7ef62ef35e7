"""Sweeps: many runs over a grid or random draws of settings, on processes or a Dask cluster."""
