"""Brackets: how much stronger a named constant could be over a whole class, certified from one side, refuted from the
other.

They speak of the inequality that the proof iterates, for full gradients. `certified`: it holds at this scale for every
function of the class at every choice of steps on the grid, by the dual values of performance estimation, up to the
solver's tolerance. `refuted`: at this scale some function breaks it: a worst function of the class, or an instance of
the corpus. The theorem's own constant is 1. Stored brackets ship as files, like the corpus; `ravine worst-case ID`
measures them again.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from problems.errors import InputError
from theory.claim import Claim, claims
from theory.setting import Facts
from theory.worst_case.claims import FULL, SHORTEST, Stated, constant_bracket, function_class_of, grid, limit_of_steps
from theory.worst_case.critical import Bracket
from theory.worst_case.estimation import FunctionClass
from theory.worst_case.one_step import Cell

from .corpus import Entry, corpus_case, entries
from .points import ONE_STEP

FOLDER = Path(__file__).resolve().parent.parent / "brackets"
"""Where the shipped brackets lie."""

NARROW = 0.1
"""A bracket is narrow within 10 %."""


INSIDE = (0.995, 0.98)
"""Largest mu/L of a stored instance at which its class is asked; the second where solvers fail at the first."""


@dataclass(frozen=True)
class ConstantBracket:
    """One named constant. certified, refuted: scales; infinite where there is none. up: larger scales strengthen.
    certified_at, refuted_at: the class and the steps at which each was found, in words. by: what refutes. ball: the
    scale that the ball relaxation certifies, NaN where nothing is normalised. cells: choices of steps, one for all that
    differ by a change of units. unsolved: those at which no certificate was found, left out of `certified`. problems:
    semidefinite programmes solved. asked: `fingerprint` of the inequality when it was measured.
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
    asked: str = ""

    @property
    def width(self) -> float:
        """|refuted - certified| over the larger of |refuted| and 1/100; infinite where one of them is missing."""
        if not (math.isfinite(self.certified) and math.isfinite(self.refuted)):
            return math.inf
        return abs(self.refuted - self.certified) / max(abs(self.refuted), 0.01)

    @property
    def narrow(self) -> bool:
        """Both sides known, at every choice of steps, within 10 %."""
        return self.width <= NARROW and not self.unsolved

    @property
    def sentence(self) -> str:
        """What it says, for people."""
        certified = f"certified {self.certified:.4g}" if math.isfinite(self.certified) else "nothing certified"
        refuted = f"refuted {self.refuted:.4g}" if math.isfinite(self.refuted) else "refuted nowhere"
        unsolved = f"; no certificate at {self.unsolved} of {self.cells} choices of steps" if self.unsolved else ""
        return f"{certified}, {refuted}{unsolved}"


@dataclass(frozen=True)
class _Found:
    """The bracket of one constant at one choice of steps."""

    constant: str
    bracket: Bracket
    by: str


def _weaker(up: bool, a: float, b: float) -> bool:
    """Whether the scale a is weaker than b."""
    return a < b if up else a > b


def _at(stated: Stated, name: str, solver: str) -> _Found | None:
    """One constant at one choice of steps. Of PL functions strongly convex ones refute, being among them."""
    bracket = constant_bracket(stated, name, solver=solver)
    if bracket is not None and bracket.fault and stated.cell.mu > INSIDE[1] * stated.cell.L:
        stated = _inside(stated, INSIDE[1])
        bracket = constant_bracket(stated, name, solver=solver)
    if bracket is None:
        return None
    by = "the worst function of the class"
    if stated.function_class == "pl":
        inside = constant_bracket(replace(stated, function_class="strongly-convex"), name, solver=solver)
        if inside is not None and not inside.fault:
            bracket = replace(bracket, refuted=inside.refuted, problems=bracket.problems + inside.problems)
            by = "the worst strongly convex function, which is PL too"
    return _Found(name, bracket, by)


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


def _inside(stated: Stated, part: float) -> Stated:
    """At mu = L the class has one function up to translations, and its conditions divide by L - mu: mu = part L at
    most."""
    return replace(stated, facts=replace(stated.facts, mu=min(stated.facts.mu, part * stated.facts.L_f)))


def measure(
    claim: Claim,
    *,
    constants: Sequence[str] = (),
    jobs: int = 1,
    solver: str = "CLARABEL",
    full: bool = False,
    saved: Callable[[str], Mapping[str, Any] | None] | None = None,
    save: Callable[[str, dict[str, Any], float], None] | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_done: Callable[[], None] | None = None,
) -> list[ConstantBracket]:
    """The brackets of a claim's constants over the grid of its class and the steps of its stored instances.

    saved, save: what an earlier run found of a question, by its text, and where to keep what this one finds and the
    seconds it took, as soon as it is found. on_plan, on_done: how many questions are left, and that one is answered.
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
    settings += [_inside(e.stated, INSIDE[0]) for e in known]
    rows: list[_Found] = []
    left: list[tuple[str, Stated, str]] = []
    versions = _solvers()
    for stated, name in _questions(settings, names):
        key = f"{name}; {stated.cell!r}; {solver}; {versions}"
        record = saved(key) if saved is not None else None
        if record is None:
            left.append((key, stated, name))
        else:
            rows += _read(record)
    if on_plan is not None:
        on_plan(len(left))
    for key, found, seconds in Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_keyed)(key, stated, name, solver) for key, stated, name in left
    ):
        rows += [found] if found is not None else []
        if save is not None:
            save(key, {"found": asdict(found) if found is not None else None}, seconds)
        if on_done is not None:
            on_done()
    return [b for name in names if (b := _over(claim, chosen, name, rows, known)) is not None]


def _questions(settings: Iterable[Stated], names: Sequence[str]) -> Iterator[tuple[Stated, str]]:
    """Each constant at each choice of steps, once for those that differ by a change of units or, where the limit of
    the steps is asked, by the steps."""
    asked = set()
    for stated in settings:
        for name in names:
            question = _in_its_units(stated, name)
            if question not in asked:
                asked.add(question)
                yield stated, name


def _in_its_units(stated: Stated, name: str) -> tuple[str, ...]:
    """The programme with lengths in units of rho lam, as `one_step.margin` writes it, to nine digits."""
    if name == "step_limit":
        stated = replace(stated, facts=stated.facts.with_steps(limit_of_steps(stated), stated.facts.rho.largest))
    cell = stated.cell
    length = cell.rho * cell.lam
    numbers = [cell.mu, cell.L, cell.gamma, cell.rho * (1 - cell.lam)]
    for scale in ({}, {name: 0.5}):
        inequality = stated.inequality(scale)
        numbers += [inequality.c0 / (length or 1.0) ** 2, inequality.c1, inequality.c2]
    return (name, str(length > 0), *(f"{number:.9g}" for number in numbers))


def _keyed(key: str, stated: Stated, name: str, solver: str) -> tuple[str, _Found | None, float]:
    started = time.perf_counter()
    return key, _at(stated, name, solver), time.perf_counter() - started


def _solvers() -> str:
    """What writes and solves the programmes: results of other versions are others. SCS may be missing."""
    names = [name for name in ("pepit", "cvxpy", "clarabel", "scs") if find_spec({"pepit": "PEPit"}.get(name, name))]
    return ", ".join(f"{name} {version(name)}" for name in names)


def _read(record: Mapping[str, Any]) -> list[_Found]:
    """What `measure` saved of one question."""
    found = record["found"]
    if found is None:
        return []
    bracket = Bracket(**{**found["bracket"], "cell": Cell(**found["bracket"]["cell"])})
    return [_Found(found["constant"], bracket, found["by"])]


def fingerprint(claim: Claim, name: str) -> str:
    """Twelve hexadecimal digits of the inequality on the grid, as it is and with the constant halved: a stored bracket
    with another one speaks of another inequality. To nine decimals, which no machine rounds differently."""
    lines = []
    for stated in grid(claim):
        numbers = [*asdict(stated.cell).values()][1:]
        if name == "step_limit":
            numbers = [limit_of_steps(stated), *numbers]
        for scale in ({}, {name: 0.5}):
            numbers += asdict(stated.inequality(scale)).values()
        lines.append(f"{stated.function_class} " + " ".join(f"{round(number, 9) + 0.0:.9f}" for number in numbers))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


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
        if e.entry.constant == name and e.entry.up is up and _weaker(up, e.entry.scale, refuted):
            refuted, at, by = e.entry.scale, str(e.stated.cell), f"the corpus: ravine check {claim.id} {e.entry.replay}"
    balls = [row.bracket.ball for row in solved if not math.isnan(row.bracket.ball)]
    return ConstantBracket(
        claim=claim.id, constant=name, function_class=function_class, certified=certified.bracket.certified,
        refuted=refuted, up=up, certified_at=str(certified.bracket.cell), refuted_at=at if math.isfinite(refuted) else
        "", by=by if math.isfinite(refuted) else "", ball=(min if up else max)(balls) if balls else math.nan,
        cells=len(mine), unsolved=len(mine) - len(solved), problems=sum(row.bracket.problems for row in mine),
        asked=fingerprint(claim, name),
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
    """Plain values; numbers to seven digits, which is more than solvers agree on, certified scales rounded to the weak
    side and refuted ones to the strong side."""
    found = []
    for bracket in brackets:
        record = {n: _written(v, None) if isinstance(v, float) else v for n, v in asdict(bracket).items()}
        found.append(
            record
            | {
                "certified": _written(bracket.certified, not bracket.up),
                "refuted": _written(bracket.refuted, bracket.up),
            }
        )
    return found


DIGITS = 7


def _written(value: float, upwards: bool | None) -> float | str:
    """A float of seven digits, or a word that JSON lacks."""
    if not math.isfinite(value):
        return str(value)
    if upwards is None:
        return float(f"{value:.{DIGITS}g}")
    context = Context(prec=DIGITS, rounding=ROUND_CEILING if upwards else ROUND_FLOOR)
    return float(context.create_decimal(Decimal(value)))


def as_text(brackets: Sequence[ConstantBracket]) -> str:
    """The content of a file of brackets."""
    return json.dumps(to_records(brackets), indent=1) + "\n"
