"""The one exception for bad input."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input is at fault.

    The text is one sentence that names the argument, the value received and what is allowed. The command
    line prints it and exits with code 2; in Python, correct the named argument.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that helps to mend a misspelt `name`: the nearest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"the nearest is {close[0]!r}" if close else f"known are {', '.join(names)}"
