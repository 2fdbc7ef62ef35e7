"""What the catalogue leaves out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    paper: str
    statement: str
    reason: str
    place: str


LEFT_OUT = (LeftOut("p", "s", "r", "l"),)
