"""Every figure by name, found by importing the scripts of this folder."""

from __future__ import annotations

import importlib
import pkgutil

import paper_figs
from paper_figs.figure import Spec

HELPERS = ("catalogue", "drawing", "figure", "table")


def specs() -> dict[str, Spec]:
    """All figures, in the order of the scripts' names. Raises ValueError where two have one name."""
    found: dict[str, Spec] = {}
    for module in pkgutil.iter_modules(paper_figs.__path__):
        if module.name in HELPERS:
            continue
        for spec in importlib.import_module(f"paper_figs.{module.name}").FIGURES:
            if spec.name in found:
                raise ValueError(f"two figures are called {spec.name!r}")
            found[spec.name] = spec
    return found
