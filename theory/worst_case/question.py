"""A user's question: the worst that N steps of a method can do over every function of a class.

The start is normalised: f(x_0) - inf f <= 1, or ||x_0 - x*|| <= 1 where distances are asked. Without g/||g|| the
problem does not change when f and the square of space are multiplied by a number, so the value is a factor; with it the
radius is a length, and rho counts in units in which the start is 1.

Ways: one semidefinite programme where the perturbation is linear in the gradient; lengths of the gradient (`lengths`)
for one normalised step; any perturbation in the ball for more of them. All are solved at L = 1.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

from problems.errors import InputError
from problems.problem import check_count, check_nonnegative, check_positive
from theory.worst_case.estimation import CLASSES, EXACT_CLASSES, WITH_MU, Estimation, Solved, check_solver, require
from theory.worst_case.lengths import WIDTH, Lengths, cover
from theory.worst_case.one_dimension import Measure, Quadratic, worst_quadratic
from theory.worst_case.one_step import ANYWHERE, Cell, along_the_gradient, perturbed
from theory.worst_case.worst_function import Named, WorstFunction, as_quadratic, extracted

METHODS = ("sgd", "usam", "sam", "unified-sam")
MEASURES: tuple[Measure, ...] = get_args(Measure)
MOST_STEPS = 30
"""The programme has a matrix of some 2 N rows and 4 N^2 conditions: half a minute at 30 steps, growing as N^4."""

HUGE = 1e6
"""A worst case beyond is too large for solvers: interior points lose their last digits there."""

BELOW = 1e-4
"""A bound this far below what a quadratic attains, relative to 1 + value, is a fault of the solver."""

REDUCED_UP_TO = 10
"""Steps up to which the worst function is sought in few dimensions, which costs as much again as two solutions."""

Verdict = Literal["answered", "too large", "inconclusive"]


@dataclass(frozen=True)
class Question:
    """x+ = x - gamma grad f(x + eps), eps = rho ((1 - lam) g + lam g/||g||), g = grad f(x); eps = 0 where g = 0.

    All dimensionless. method: sgd (rho = 0), usam (lam = 0), sam (lam = 1) or unified-sam (any lam in [0, 1], default
    0.5). function_class: a key of `CLASSES`; mu with strongly-convex and pl only, 0 < mu < L. gamma > 0. rho >= 0.
    steps: N, 1 to 30. measure, of the worst case over functions and starts:

    - suboptimality: f(x_N) - inf f, given f(x_0) - inf f <= 1;
    - gradient: min over k <= N of ||grad f(x_k)||^2, given f(x_0) - inf f <= 1 (default where the class is nonconvex);
    - distance: ||x_N - x*||^2, given ||x_0 - x*|| <= 1; convex classes only.

    solver: clarabel or scs. Raises InputError.
    """

    method: str
    function_class: str
    L: float
    gamma: float
    steps: int
    mu: float | None = None
    rho: float = 0.0
    lam: float | None = None
    measure: str | None = None
    solver: str = "clarabel"

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("class", self.function_class, tuple(CLASSES))
        check_positive(self.L, argument="L")
        check_positive(self.gamma, argument="gamma")
        check_nonnegative(self.rho, argument="rho")
        check_count(self.steps, argument="steps")
        if self.steps > MOST_STEPS:
            raise InputError(
                f"steps must be at most {MOST_STEPS}, got {self.steps}: the programme would have a matrix of "
                f"{2 * self.steps + 2} rows, and its time grows as the fourth power of the steps"
            )
        if self.function_class in WITH_MU:
            if self.mu is None:
                raise InputError(f"mu is missing; the class {self.function_class} needs 0 < mu < L = {self.L:g}")
            if not 0 < self.mu < self.L:
                raise InputError(f"mu must be > 0 and < L = {self.L:g}, got {self.mu:g}")
        elif self.mu is not None:
            raise InputError(f"mu is not used by the class {self.function_class}, got {self.mu:g}; leave it out")
        if self.method == "sgd" and self.rho != 0:
            raise InputError(f"rho is not used by sgd, got {self.rho:g}; leave it out")
        if self.lam is not None:
            if self.method != "unified-sam":
                raise InputError(f"lam is not used by {self.method}, got {self.lam:g}; leave it out")
            if not 0 <= self.lam <= 1:
                raise InputError(f"lam must be in [0, 1], got {self.lam:g}")
        if self.measure is not None:
            _one_of("measure", self.measure, MEASURES)
        if self.measure == "distance" and self.function_class not in ("strongly-convex", "convex"):
            why = "need not have a unique minimiser" if self.function_class == "pl" else "need not have a minimiser"
            raise InputError(
                f"measure distance needs a class with a minimiser, strongly-convex or convex, got the class "
                f"{self.function_class}, whose functions {why}"
            )
        check_solver(self.solver)

    @property
    def measures(self) -> Measure:
        """The measure, with its default."""
        chosen = self.measure or ("gradient" if self.function_class == "nonconvex" else "suboptimality")
        return next(measure for measure in MEASURES if measure == chosen)

    @property
    def mixing(self) -> float:
        """lam, with what the method says of it."""
        return {"sgd": 0.0, "usam": 0.0, "sam": 1.0}.get(self.method, 0.5 if self.lam is None else self.lam)

    @property
    def normalised(self) -> bool:
        """Whether g/||g|| takes part."""
        return self.rho * self.mixing > 0

    @property
    def cell(self) -> Cell:
        """The same question at L = 1.

        f(x) = F(sqrt(L) x), or f = L F where distances are asked, F being 1-smooth: the part of eps along g is scaled
        by L, the part along g/||g|| by the scale of space, so that rho and lam change.
        """
        name = next(name for name in CLASSES if name == self.function_class)
        along = self.rho * (1 - self.mixing) * self.L
        unit = self.rho * self.mixing * self._stretch
        rho = along + unit
        return Cell(name, (self.mu or 0.0) / self.L, 1.0, self.gamma * self.L, rho, unit / rho if rho > 0 else 0.0)

    @property
    def _stretch(self) -> float:
        """Lengths at L = 1 over those of the question."""
        return 1.0 if self.measures == "distance" else math.sqrt(self.L)

    @property
    def _unit(self) -> float:
        """The measure of the question over that at L = 1."""
        return self.L if self.measures == "gradient" else 1.0

    def inequality(self, value: float) -> str:
        """What a worst case of this value says of every function of the class."""
        left, start = {
            "suboptimality": (f"f(x_{self.steps}) - inf f", "f(x_0) - inf f"),
            "gradient": (f"min over k <= {self.steps} of ||grad f(x_k)||^2", "f(x_0) - inf f"),
            "distance": (f"||x_{self.steps} - x*||^2", "||x_0 - x*||^2"),
        }[self.measures]
        right = f"{value:.6g} wherever {start} <= 1" if self.normalised else f"{value:.6g} ({start})"
        return f"{left} <= {right}"


@dataclass(frozen=True)
class Answer:
    """What was found.

    value: an upper bound on the worst case, up to the solver's tolerance; NaN without one. exact: whether it is the
    worst case itself, to that tolerance. lower: what functions of the class attain, or come as close to as one likes.
    primal, gap, status: of the programme that gives the value, in the units of the question. seconds, problems: of
    everything. verdict: answered; too large (a function attains more than a solver resolves); inconclusive, for the
    reason in fault. way: how. worst: the worst function found, None for the reason in no_worst. quadratic: the worst of
    l x^2/2. length: ||grad f(x_0)|| of the worst function, NaN where lengths play no part. ball: what the ball
    relaxation gives, NaN where it was not asked or not solved.
    """

    question: Question
    verdict: Verdict
    value: float
    lower: float
    exact: bool
    primal: float
    gap: float
    status: str
    solver: str
    seconds: float
    problems: int
    way: str
    fault: str
    quadratic: Quadratic
    worst: WorstFunction | None = None
    no_worst: str = ""
    length: float = math.nan
    ball: float = math.nan

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        asked = self.question
        return {
            "question": {
                "method": asked.method, "class": asked.function_class, "mu": asked.mu, "L": asked.L,
                "gamma": asked.gamma, "rho": asked.rho, "lam": asked.mixing, "steps": asked.steps,
                "measure": asked.measures, "solver": asked.solver.lower(),
            },
            "verdict": self.verdict, "value": self.value, "exact": self.exact, "lower": self.lower,
            "primal": self.primal, "gap": self.gap, "status": self.status, "solver": self.solver.lower(),
            "seconds": self.seconds, "problems": self.problems, "way": self.way, "reason": self.fault,
            "ball": self.ball, "length": self.length,
            "quadratic": {"l": self.quadratic.l, "start": self.quadratic.start, "attains": self.quadratic.attains},
            "worst": self.worst.as_json() if self.worst else None, "no_worst": self.no_worst,
        }  # fmt: skip


def answer(question: Question) -> Answer:
    """Solve it. Raises InputError where the extra `worst-case` is missing; a solver's failure is a verdict."""
    require()
    return _Programme(question).answer()


class _Programme:
    """The programmes of one question, at L = 1."""

    def __init__(self, question: Question) -> None:
        self.question, self.cell = question, question.cell
        self.solver = question.solver.upper()
        self.problems = 0
        self.started = time.perf_counter()

    def solve(self, lengths: Lengths = ANYWHERE, *, slack: float | None = None) -> tuple[Solved, WorstFunction | None]:
        """One programme, and the function behind its solution if that is one of the class. lengths: of grad f(x_0), as
        in `one_step`; read where g/||g|| takes part only."""
        self.problems += 1
        cell, measure = self.cell, self.question.measures
        one_length = lengths[0] == lengths[1]
        with Estimation(cell.function_class, cell.mu, cell.L) as problem:
            x, g, eps = perturbed(problem, 1.0, cell, lengths)
            named: list[Named] = []
            if cell.function_class != "nonconvex":
                minimiser = problem.f.list_of_stationary_points[0][0]
                named.append(("x*", minimiser, problem.gradient(minimiser)))
            named.append(("x_0", x, g))
            if self.question.measures == "distance":
                problem.impose((x - minimiser) ** 2 <= 1)
            else:
                problem.impose(problem.gap(x) <= 1)
            for k in range(self.question.steps):
                if k > 0:
                    eps = self._perturbation(problem, g)
                h = g
                if cell.rho > 0:
                    h = problem.gradient(x + eps)
                    named.append((f"x_{k}+eps_{k}", x + eps, h))
                if lengths != ANYWHERE and not one_length:
                    longest = cell.rho * (1 - cell.lam + cell.lam / max(lengths[0], 1e-300))
                    along_the_gradient(problem, g, h - g, eps, longest)
                x = x - cell.gamma * h
                g = problem.gradient(x)
                named.append((f"x_{k + 1}", x, g))
            if measure == "gradient":
                objective = problem.number()
                for name, _, gradient in named:
                    if name.startswith("x_") and "+" not in name:
                        problem.impose(objective <= gradient**2)
            else:
                objective = problem.gap(x) if measure == "suboptimality" else (x - minimiser) ** 2
            solved = problem.largest(objective, solver=self.solver, slack=slack)
            real = cell.function_class in EXACT_CLASSES and (cell.lam == 0 or one_length)
            known = solved.gram.size and not solved.fault and real
            return solved, extracted(problem, solved, named, measure) if known else None

    def _perturbation(self, problem: Estimation, g: Any) -> Any:
        """eps at a later iterate, where no length is imposed."""
        cell = self.cell
        if cell.lam == 0:
            return cell.rho * g
        u = problem.direction()
        problem.impose(u**2 <= 1)
        problem.impose(u * g >= 0)
        return cell.rho * ((1 - cell.lam) * g + cell.lam * u)

    def answer(self) -> Answer:
        """By the way that the question needs."""
        quadratic = worst_quadratic(self.cell, self.question.steps, self.question.measures)
        if not self.question.normalised:
            return self._linear(quadratic)
        if self.question.steps > 1:
            return self._in_the_ball(quadratic)
        return self._by_lengths(quadratic)

    def _linear(self, quadratic: Quadratic) -> Answer:
        """eps = rho g: one programme."""
        exact = self.cell.function_class in EXACT_CLASSES
        way = "one programme; its conditions are necessary" + (" and sufficient" if exact else " only")
        solved, worst = self.solve()
        if not exact:
            why = "the conditions of the class pl are necessary only, a solution need not be a function of it"
            return self._answer(solved, quadratic, way, exact=False, no_worst=why)
        return self._answer(solved, quadratic, way, exact=True, worst=self._in_few_dimensions(solved, worst))

    def _in_few_dimensions(
        self, solved: Solved, worst: WorstFunction | None, lengths: Lengths = ANYWHERE
    ) -> WorstFunction | None:
        """A worst function of fewer dimensions, where one is found."""
        if worst is None or worst.dimension <= 1 or self.question.steps > REDUCED_UP_TO:
            return worst
        _, flatter = self.solve(lengths, slack=1e-6 * (1 + abs(solved.value)))
        return flatter if flatter is not None and flatter.dimension < worst.dimension else worst

    def _in_the_ball(self, quadratic: Quadratic) -> Answer:
        """Any perturbation with ||u|| <= 1 and <u, g> >= 0 in place of g/||g||."""
        solved, _ = self.solve(ANYWHERE)
        way = "relaxation: any direction u with ||u|| <= 1, <u, g> >= 0 in place of g/||g||"
        why = "the programme allows directions other than g/||g||, a solution need not be a run of the method"
        ball = solved.value * self.question._unit
        return self._answer(solved, quadratic, way, exact=False, no_worst=why, ball=ball)

    def _by_lengths(self, quadratic: Quadratic) -> Answer:
        """The ball, exact lengths, and intervals that cover (0, longest]: ||g||^2 <= 2 L (f - inf f), ||g|| <= L ||x -
        x*||."""
        ball, _ = self.solve(ANYWHERE)
        longest = 1.0 if self.question.measures == "distance" else math.sqrt(2)
        hint = min(quadratic.l * quadratic.start, longest * (1 - 1e-6))  # at the end itself a single function is left
        found = cover(lambda lengths: self.solve(lengths)[0], longest, hint=hint)
        if found.deciding is None or found.fault or (not ball.fault and ball.value < found.upper):
            deciding = ball
        else:
            deciding = found.deciding
        real = self.cell.function_class in EXACT_CLASSES
        worst, lower, length = None, -math.inf, math.nan
        why = "the conditions of the class pl are necessary only, a solution need not be a function of it"
        if real and math.isfinite(found.lower):
            solved, worst = self.solve((found.length, found.length))
            worst = self._in_few_dimensions(solved, worst, (found.length, found.length))
            lower, why = found.lower, ""
            length = found.length * (self.question.L / self.question._stretch)
        way = f"lengths of grad f(x_0), divided until both bounds agree to {WIDTH:.0%} or the budget is spent"
        return self._answer(
            deciding, quadratic, way, exact=False, worst=worst, no_worst=why, lower=lower, length=length,
            ball=ball.value * self.question._unit,
        )  # fmt: skip

    def _answer(
        self,
        solved: Solved,
        quadratic: Quadratic,
        way: str,
        *,
        exact: bool,
        worst: WorstFunction | None = None,
        no_worst: str = "",
        lower: float = -math.inf,
        **more: float,
    ) -> Answer:
        """In the units of the question, and compared with what functions attain whatever the solver says."""
        asked, unit = self.question, self.question._unit
        # The start may be stationary, or nearly so with a minimiser as far as one likes: then nothing is gained.
        flat = asked.measures == "suboptimality" and asked.function_class in ("convex", "nonconvex")
        attained = max(quadratic.attains, 1.0 if flat else 0.0)
        if worst is not None and worst.violation > BELOW:
            no_worst = f"its data break the conditions of the class by {worst.violation:.1e}, more than {BELOW:g}"
            worst, more["length"] = None, math.nan
        elif worst is not None:
            attained = max(attained, lower, worst.attains)
            value = lower if math.isfinite(lower) else solved.primal
            fitted = as_quadratic(worst, self.cell, asked.steps, asked.measures, value)
            worst = _restored(worst, fitted, asked)
        fault = solved.fault
        if not fault and solved.value < attained - BELOW * (1 + attained):
            says, known = solved.value * unit, attained * unit
            fault = f"{self.solver} bounds it by {says:.6g}, but a function attains {known:.6g}"
        verdict: Verdict = "inconclusive" if fault else "answered"
        if fault and attained > HUGE:
            verdict = "too large"
        if worst is None and exact and not no_worst:
            no_worst = "there is no solution"
        if worst is not None and flat and asked.function_class == "convex" and solved.value <= 1 + BELOW:
            worst, no_worst = None, "none attains it: ever flatter functions with ever farther minimisers approach it"
        return Answer(
            question=asked, verdict=verdict, value=math.nan if fault else max(solved.value, attained) * unit,
            lower=attained * unit, exact=exact, primal=solved.primal * unit, gap=solved.gap * unit,
            status=solved.status, solver=self.solver, seconds=time.perf_counter() - self.started,
            problems=self.problems, way=way, fault=fault, quadratic=_in_units(quadratic, asked),
            worst=worst, no_worst=no_worst, **more,
        )  # fmt: skip


def _in_units(found: Quadratic, asked: Question) -> Quadratic:
    """A quadratic at L = 1 in the units of the question."""
    return Quadratic(found.l * asked.L, found.start / asked._stretch, found.attains * asked._unit)


def _restored(worst: WorstFunction, quadratic: Quadratic | None, asked: Question) -> WorstFunction:
    """Data at L = 1 in the units of the question."""
    stretch = asked._stretch
    return WorstFunction(
        worst.names, worst.points / stretch, worst.gradients * (asked.L / stretch), worst.values * asked.L / stretch**2,
        worst.attains * asked._unit, worst.violation, _in_units(quadratic, asked) if quadratic else None,
    )  # fmt: skip


def _one_of(argument: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise InputError(f"{argument} must be one of {', '.join(allowed)}, got {given!r}")
