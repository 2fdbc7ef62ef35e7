"""The commit of the source tree."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str | None:
    """The full hash of HEAD, None when this is not a git checkout."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(home), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
