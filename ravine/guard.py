"""Make sure that `theory`, `problems`, `experiments` and `paper_figs` are ours: others install such packages too."""

from __future__ import annotations

import importlib.util
from pathlib import Path


class IntruderError(ImportError):
    """Another package has taken the place of one of ours."""


def check_packages() -> None:
    """Raise IntruderError, naming the intruder's path, unless our packages resolve beside the front door."""
    home = Path(__file__).resolve().parent.parent
    for name in ("problems", "theory", "experiments", "paper_figs"):
        found = importlib.util.find_spec(name)
        origin = None if found is None or found.origin is None else Path(found.origin).resolve()
        if origin is None or origin.parent != home / name:
            place = "nothing" if origin is None else str(origin.parent)
            raise IntruderError(
                f"the package {name!r} should lie in {home / name} but Python finds {place} first; "
                "uninstall the other package or put ravine's folder before it on the path"
            )
