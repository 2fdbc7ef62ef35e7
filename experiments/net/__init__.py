"""The bridge to PyTorch: the same claims on networks. Everything but this file needs the extra `net`."""

from __future__ import annotations

import importlib.util

from problems.errors import InputError

NEEDED = {"torch": "torch", "curvlinops": "curvlinops-for-pytorch"}
"""Modules and the distributions that bring them."""


def require_torch() -> None:
    """Raise InputError with one sentence unless the extra `net` is installed."""
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"net needs {' and '.join(missing)}, which is not installed; run pip install 'ravine[net]'")
