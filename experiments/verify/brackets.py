"""Brackets: how much stronger a named constant could be over a whole class, certified from one side, refuted from the
other.

They speak of the inequality that the proof iterates, for full gradients. `certified`: it holds at this scale for every
function of the class at every choice of steps on the grid, by the dual values of performance estimation, up to the
solver's tolerance. `refuted`: at this scale some function breaks it: a worst function of the class, or an instance of
the corpus. The theorem's own constant is 1. Stored brackets ship as files, like the corpus; `ravine worst-case ID`
measures them again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from problems.errors import InputError
from theory.claim import Claim, claims
from theory.setting import Facts
from theory.worst_case.claims import FULL, SHORTEST, Stated, constant_bracket, function_class_of, grid
from theory.worst_case.critical import Bracket
from theory.worst_case.estimation import FunctionClass

from .corpus import Entry, corpus_case, entries
from .points import ONE_STEP

FOLDER = Path(__file__).resolve().parent.parent / "brackets"
"""Where the shipped brackets lie."""

NARROW = 0.1
"""A bracket is narrow within 10 %."""


@dataclass(frozen=True)
class ConstantBracket:
    """One named constant. certified, refuted: scales; infinite where there is none. up: larger scales strengthen.
    certified_at, refuted_at: the class and the steps at which each was found, in words. by: what refutes. ball: the
    scale that the ball relaxation certifies, NaN where nothing is normalised. cells: choices of steps. unsolved: those
    at which no certificate was found. problems: semidefinite programmes solved.
    """

    claim: str
    constant: str
    function_class: FunctionClass
    certified: float
    refuted: float
    up: bool
    certified_at: str
    refuted_at: str
    by: str
    ball: float
    cells: int
    unsolved: int
    problems: int

    @property
    def width(self) -> float:
        """|refuted - certified| over the larger of |refuted| and 1/100; infinite where one of them is missing."""
        if not (math.isfinite(self.certified) and math.isfinite(self.refuted)):
            return math.inf
        return abs(self.refuted - self.certified) / max(abs(self.refuted), 0.01)

    @property
    def narrow(self) -> bool:
        """Both sides known, within 10 %."""
        return self.width <= NARROW

    @property
    def sentence(self) -> str:
        """What it says, for people."""
        certified = f"certified {self.certified:.4g}" if math.isfinite(self.certified) else "nothing certified"
        refuted = f"refuted {self.refuted:.4g}" if math.isfinite(self.refuted) else "refuted nowhere"
        return f"{certified}, {refuted}"


@dataclass(frozen=True)
class _Found:
    """The bracket of one constant at one choice of steps."""

    constant: str
    bracket: Bracket
    by: str


def _stronger(up: bool, a: float, b: float) -> bool:
    """Whether a is nearer to the weak side than b: it leaves the constant less room."""
    return a < b if up else a > b


def _at(stated: Stated, names: Sequence[str], solver: str) -> list[_Found]:
    """Every constant at one choice of steps. Of PL functions strongly convex ones refute, being among them."""
    found = []
    for name in names:
        bracket = constant_bracket(stated, name, solver=solver)
        if bracket is None:
            continue
        by = "the worst function of the class"
        if stated.function_class == "pl":
            convex = replace(stated, function_class="strongly-convex")
            inside = constant_bracket(convex, name, solver=solver)
            if inside is not None and not inside.fault:
                bracket = replace(bracket, refuted=inside.refuted, problems=bracket.problems + inside.problems)
                by = "the worst strongly convex function, which is PL too"
        found.append(_Found(name, bracket, by))
    return found


@dataclass(frozen=True)
class _Stored:
    """An entry of the corpus with full gradients, and its steps as a choice over the class."""

    entry: Entry
    stated: Stated


def _corpus(claim: Claim, function_class: FunctionClass) -> list[_Stored]:
    """The claim's entries with full gradients and constant steps that one step refutes: what refutes the bound on a
    whole run need not refute the inequality for one step."""
    found = []
    for entry in entries(claim.id):
        case = corpus_case(claim, entry)
        facts = case.facts
        gamma = facts.gamma.constant
        constant = gamma is not None and facts.rho.constant is not None and gamma * facts.L_f >= SHORTEST
        if entry.route == ONE_STEP and case.setting.deterministic and constant:
            found.append(_Stored(entry, Stated(claim, function_class, _full(facts))))
    return found


def _full(facts: Facts) -> Facts:
    return replace(facts, A=0.0, B=1.0, C=0.0)


def _inside(stated: Stated) -> Stated:
    """At mu = L the class has one function up to translations, and its conditions divide by L - mu."""
    mu = min(stated.facts.mu, 0.995 * stated.facts.L_f)
    return replace(stated, facts=replace(stated.facts, mu=mu))


def measure(
    claim: Claim,
    *,
    constants: Sequence[str] = (),
    jobs: int = 1,
    solver: str = "CLARABEL",
    full: bool = False,
    on_plan: Callable[[int], None] | None = None,
    on_done: Callable[[], None] | None = None,
) -> list[ConstantBracket]:
    """The brackets of a claim's constants over the grid of its class and the steps of its stored instances.

    Raises InputError for a claim that states nothing over a class with full gradients.
    """
    chosen = function_class_of(claim)
    if chosen is None:
        raise InputError(
            f"{claim.id} has no inequality for one step over a class of functions; worst-case knows "
            + ", ".join(known for known in claims if function_class_of(claims[known]) is not None)
        )
    names = list(constants) or list(claim.named_constants)
    known = _corpus(claim, chosen)
    settings = list(grid(claim, FULL) if full else grid(claim))
    settings += [_inside(e.stated) for e in known]
    if on_plan is not None:
        on_plan(len(settings))
    rows: list[_Found] = []
    for found in Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_at)(stated, names, solver) for stated in settings
    ):
        rows += found
        if on_done is not None:
            on_done()
    return [b for name in names if (b := _over(claim, chosen, name, rows, known)) is not None]


def _over(
    claim: Claim,
    function_class: FunctionClass,
    name: str,
    rows: Iterable[_Found],
    known: Iterable[_Stored],
) -> ConstantBracket | None:
    """The weakest of all choices of steps, on both sides."""
    mine = [row for row in rows if row.constant == name]
    if not mine:
        return None
    up = mine[0].bracket.up
    sign = 1.0 if up else -1.0
    solved = [row for row in mine if not row.bracket.fault]
    certified = min(solved or mine, key=lambda row: sign * row.bracket.certified)
    refuting = min(mine, key=lambda row: sign * row.bracket.refuted)
    refuted, at, by = refuting.bracket.refuted, str(refuting.bracket.cell), refuting.by
    for e in known:
        if e.entry.constant == name and e.entry.up is up and _stronger(up, e.entry.scale, refuted):
            refuted, at, by = e.entry.scale, str(e.stated.cell), f"the corpus: ravine check {claim.id} {e.entry.replay}"
    balls = [row.bracket.ball for row in solved if not math.isnan(row.bracket.ball)]
    return ConstantBracket(
        claim=claim.id, constant=name, function_class=function_class, certified=certified.bracket.certified,
        refuted=refuted, up=up, certified_at=str(certified.bracket.cell), refuted_at=at if math.isfinite(refuted) else
        "", by=by if math.isfinite(refuted) else "", ball=(min if up else max)(balls) if balls else math.nan,
        cells=len(mine), unsolved=len(mine) - len(solved), problems=sum(row.bracket.problems for row in mine),
    )  # fmt: skip


def bracket_file(claim_id: str, folder: Path) -> Path:
    """Where the stored brackets of a claim lie."""
    return folder / f"{claim_id}.json"


def stored(claim_id: str, folder: Path = FOLDER) -> list[ConstantBracket]:
    """The stored brackets of a claim, none where there is no file. Raises InputError for a file that is not one."""
    file = bracket_file(claim_id, folder)
    if not file.exists():
        return []
    try:
        return from_records(json.loads(file.read_text()))
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"the file of brackets {str(file)!r} cannot be read: {error}") from None


def from_records(records: Iterable[Mapping[str, Any]]) -> list[ConstantBracket]:
    """What `to_records` made. JSON has no infinities; they are words there."""
    found = []
    for record in records:
        values: dict[str, Any] = {
            name: float(value) if value in ("inf", "-inf", "nan") else value for name, value in record.items()
        }
        found.append(ConstantBracket(**values))
    return found


def to_records(brackets: Iterable[ConstantBracket]) -> list[dict[str, Any]]:
    """Plain values; numbers to seven digits, which is more than solvers agree on."""
    return [
        {name: _written(value) if isinstance(value, float) else value for name, value in asdict(bracket).items()}
        for bracket in brackets
    ]


def _written(value: float) -> float | str:
    return float(f"{value:.7g}") if math.isfinite(value) else str(value)


def as_text(brackets: Sequence[ConstantBracket]) -> str:
    """The content of a file of brackets."""
    return json.dumps(to_records(brackets), indent=1) + "\n"
