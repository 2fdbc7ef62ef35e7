"""The corpus: for each claim the sharpest instances that searches found, small JSON files replayed by tests and by
`verify`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from problems.errors import InputError
from theory.claim import Claim, Instance
from theory.families import instance_of
from theory.setting import facts_of

from .case import Case

FOLDER = Path(__file__).resolve().parent.parent / "corpus"
"""Where the shipped corpus lies."""

AGREEMENT = 1e-6
"""A replayed critical scale may differ from the stored one by this much: bisection and rounding leave about 1e-8, and
machines round differently."""


@dataclass(frozen=True)
class Entry:
    """A stored instance: the named constant it is the sharpest for, its critical scale, and how to replay it.

    up: larger scales strengthen the bound. route: the measurement that showed it. found: by which search, for people.
    """

    constant: str
    scale: float
    up: bool
    replay: str
    route: str
    found: str

    def instance(self, claim: Claim) -> Instance:
        """The instance itself. Raises InputError when the text cannot be read."""
        return instance_of(claim, self.replay, origin="corpus")


def corpus_file(claim_id: str, folder: Path) -> Path:
    """Where a claim's entries lie."""
    return folder / f"{claim_id}.json"


def entries(claim_id: str, folder: Path = FOLDER) -> list[Entry]:
    """The stored instances of a claim, none where there is no file. Raises InputError for a file that is not one."""
    file = corpus_file(claim_id, folder)
    if not file.exists():
        return []
    try:
        return [Entry(**record) for record in json.loads(file.read_text())]
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"the corpus file {str(file)!r} cannot be read: {error}") from None


def sharper(entry: Entry, known: Sequence[Entry]) -> bool:
    """Whether an entry beats what is stored for its constant."""
    stored = [e.scale for e in known if e.constant == entry.constant]
    if not stored:
        return True
    if entry.up:
        return entry.scale < min(stored) * (1 - AGREEMENT)
    return entry.scale > max(stored) * (1 + AGREEMENT)


def with_entry(entry: Entry, known: Sequence[Entry]) -> list[Entry]:
    """One entry for each constant, this one in place of what was stored for its own."""
    return sorted([e for e in known if e.constant != entry.constant] + [entry], key=lambda e: e.constant)


def as_text(known: Sequence[Entry]) -> str:
    """The content of a corpus file."""
    return json.dumps([asdict(entry) for entry in known], indent=1) + "\n"


def corpus_case(claim: Claim, entry: Entry) -> Case:
    """The case of a stored instance. Raises OutsideHypotheses where the claim admits it no longer."""
    instance = entry.instance(claim)
    facts = facts_of(instance.setting)
    claim.require(facts)
    return Case(claim, instance.setting, facts, instance.steps, {}, "corpus", instance.replay)
