"""One performance-estimation problem: a function of a class, a point, and what a solver says of the worst of them.

A worst case over a class is a semidefinite programme in the inner products of the iterates and gradients and in the
function values (Drori and Teboulle 2014; Taylor, Hendrickx and Glineur 2017). PEPit writes it, a conic solver solves
it. Its dual value bounds the worst case from above, up to the solver's tolerance; where the class has interpolation
conditions, a primal solution is a function of the class.
"""

from __future__ import annotations

import importlib.util
import math
import threading
import time
import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from problems.errors import InputError

FunctionClass = Literal["strongly-convex", "convex", "pl", "nonconvex"]
CLASSES: dict[FunctionClass, str] = {
    "strongly-convex": "mu-strongly convex and L-smooth",
    "convex": "convex and L-smooth",
    "pl": "mu-Polyak-Lojasiewicz and L-smooth, by conditions that every such function meets but not only such",
    "nonconvex": "L-smooth and bounded below",
}
WITH_MU = ("strongly-convex", "pl")
"""Classes that have a mu; of the others none is read."""

EXACT_CLASSES = ("strongly-convex", "convex", "nonconvex")
"""Classes whose conditions are also sufficient: a primal solution is then a function of the class."""

SOLVERS = ("CLARABEL", "SCS")
TOLERANCE = 1e-5
"""Largest primal-dual gap, and violation of a condition, with which a value counts, relative to 1 + |value|: a hundred
times what interior-point solvers reach here, and far below the 1 % that a bracket of a constant needs."""

Point: TypeAlias = Any
Expression: TypeAlias = Any

_ALONE = threading.RLock()
"""PEPit counts its points in class attributes: one problem at a time in a process."""


def available() -> bool:
    """Whether the extra `worst-case` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("PEPit", "cvxpy", "clarabel"))


def require() -> None:
    """Raise InputError, in one sentence, where the extra is missing."""
    if not available():
        raise InputError(
            "worst cases need PEPit and a conic solver, which are not installed: pip install 'ravine[worst-case]'"
        )


def check_solver(given: str) -> str:
    """The name of a solver in capitals. Raises InputError for one that is not known, or not installed."""
    name = given.upper()
    if name not in SOLVERS:
        raise InputError(f"solver must be one of {', '.join(SOLVERS).lower()}, got {given!r}")
    if importlib.util.find_spec(name.lower()) is None:
        require()
        raise InputError(f"solver {given} is not installed; pip install {name.lower()}, or take clarabel")
    return name


def _pepit() -> Any:
    require()
    import PEPit.pep

    # It prints doubts about the duality gap, verbose or not; they are in `Solved.fault`.
    PEPit.pep.print = lambda *words: None
    return PEPit


@dataclass(frozen=True)
class Solved:
    """What a solver says. value: the dual objective, an upper bound on the worst case. primal: what the solution found
    attains. error: the largest violation of a condition on either side. status: the solver's own word.

    gram: inner products of the problem's vectors, shape (k, k). values: of the function, shape (m,). All relative to
    the normalisation of the problem.
    """

    value: float
    primal: float
    error: float
    status: str
    solver: str
    seconds: float
    gram: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def gap(self) -> float:
        """|dual - primal|."""
        return abs(self.value - self.primal)

    @property
    def fault(self) -> str:
        """Why the value does not count; empty where it does."""
        if self.status not in ("optimal", "optimal_inaccurate"):
            return f"{self.solver} ended with {self.status}"
        if not math.isfinite(self.value + self.primal):
            return f"{self.solver} gave {self.value:g}"
        limit = TOLERANCE * (1 + abs(self.value))
        if self.gap > limit:
            return f"{self.solver} left a primal-dual gap of {self.gap:.1e}, more than {limit:.1e}"
        if self.error > limit:
            return f"{self.solver} left a condition violated by {self.error:.1e}, more than {limit:.1e}"
        return ""


class Estimation:
    """One problem being written down. A context manager: two cannot be open in a process at once.

    f: the function. infimum: its value at a minimiser; of non-convex functions a lower bound that need not be attained.
    with_infimum: whether the problem speaks of it at all. What compares values of f only is better without: the infimum
    can lie as far below as one likes, and solvers dislike that.
    """

    def __init__(self, function_class: FunctionClass, mu: float, L: float, *, with_infimum: bool = True) -> None:
        if function_class in WITH_MU and not 0 < mu < L:
            raise InputError(f"mu must be > 0 and < L = {L:g} for the class {function_class}, got {mu:g}")
        self.function_class, self.L, self.with_infimum = function_class, L, with_infimum
        self.mu = mu if function_class in WITH_MU else 0.0

    def __enter__(self) -> Estimation:
        _ALONE.acquire()
        try:
            pepit = _pepit()
            self.problem = pepit.PEP()
            self.f = self.another()
            self.infimum: Expression = None
            if self.with_infimum and self.function_class == "nonconvex":
                self.infimum = pepit.Expression(is_leaf=True)
            elif self.with_infimum or self.function_class == "pl":
                self.infimum = self.f(self.f.stationary_point())
        except BaseException:
            _ALONE.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        _ALONE.release()

    def another(self) -> Any:
        """One more function of the class: the components of a finite sum."""
        from PEPit import functions

        declare = self.problem.declare_function
        if self.function_class == "strongly-convex":
            return declare(functions.SmoothStronglyConvexFunction, mu=self.mu, L=self.L)
        if self.function_class == "convex":
            return declare(functions.SmoothConvexFunction, L=self.L)
        if self.function_class == "pl":
            return declare(functions.SmoothQuadraticLojasiewiczFunctionCheap, mu=self.mu, L=self.L)
        return declare(functions.SmoothFunction, L=self.L)

    def origin(self) -> Point:
        """The point from which all others are counted: any point, for the class does not change under translations."""
        from PEPit.point import null_point

        return null_point

    def direction(self) -> Point:
        """A vector of which nothing is known."""
        from PEPit import Point

        return Point()

    def number(self) -> Expression:
        """A number of which nothing is known."""
        from PEPit import Expression

        return Expression(is_leaf=True)

    def gap(self, x: Point) -> Expression:
        """f(x) - inf f; f(x) where the problem does not speak of the infimum."""
        return self.f(x) - self.infimum if self.with_infimum else self.f(x)

    def gradient(self, x: Point) -> Point:
        """grad f(x). With it goes f(x) - ||grad f(x)||^2/(2 L) >= inf f where the function is not convex; convex
        classes imply it."""
        g = self.f.gradient(x)
        if self.function_class == "nonconvex" and self.with_infimum:
            self.problem.add_constraint(self.f(x) - g**2 / (2 * self.L) >= self.infimum)
        return g

    def with_gradient(self, x: Point, g: Point) -> None:
        """Say that grad f(x) = g, a combination of vectors of the problem."""
        self.f.add_point((x, g, self.number()))

    def impose(self, condition: Any) -> None:
        """A linear condition on inner products and values."""
        self.problem.add_constraint(condition)

    def largest(self, objective: Expression, *, solver: str = "CLARABEL", slack: float | None = None) -> Solved:
        """The largest value of the objective under all that was imposed.

        slack: take, of the solutions this close to the best, one with a small log-determinant of the Gram matrix (three
        linearisations): such a one has few dimensions, where a small trace leaves N + 1 of them to gradient descent on
        non-convex functions. The gap then contains the slack; the value is the bound without it.
        """
        fewer = {} if slack is None else {"dimension_reduction_heuristic": "logdet3", "tol_dimension_reduction": slack}
        self.problem.set_performance_metric(objective)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubts of the solver are in `status`, `gap` and `error`
            try:
                value = self.problem.solve(wrapper="cvxpy", solver=solver, verbose=0, **fewer, **SETTINGS[solver])
            except (TypeError, ValueError, AssertionError, AttributeError) as failure:
                # PEPit evaluates the solution before it looks at the status; without one it raises.
                status = getattr(getattr(self.problem.wrapper, "prob", None), "status", None) or str(failure)
                return _none(status, solver, time.perf_counter() - started)
            except Exception as failure:
                if type(failure).__name__ != "SolverError":
                    raise
                return _none("no solution", solver, time.perf_counter() - started)
        wrapper = self.problem.wrapper
        if value is None or wrapper.optimal_G is None:
            return _none(str(wrapper.prob.status), solver, time.perf_counter() - started)
        return Solved(
            value=float(value), primal=float(wrapper.objective.value), error=self._error(), status=wrapper.prob.status,
            solver=solver, seconds=time.perf_counter() - started, gram=np.array(wrapper.optimal_G),
            values=np.array(wrapper.optimal_F),
        )  # fmt: skip

    def _error(self) -> float:
        """The largest violation on both sides: of the conditions, of the signs of the multipliers, and of the identity
        that makes the dual value a bound, at the size that inner products and values have in the solution."""
        problem = self.problem
        worst = [
            -float(np.linalg.eigvalsh(np.array(problem.G_value)).min()),
            -float(np.linalg.eigvalsh(np.array(problem.residual)).min()),
        ]
        for condition in problem._list_of_prepared_constraints:
            value, multiplier = float(condition.eval()), float(condition.eval_dual())
            inequality = condition.equality_or_inequality == "inequality"
            worst += [value, -multiplier] if inequality else [abs(value)]
        return max(0.0, self._unbalanced(), *worst)

    def _unbalanced(self) -> float:
        """The terms that are left of objective - multipliers * conditions + <residual, Gram>, which should be a
        constant."""
        from PEPit import Point

        problem = self.problem
        points = Point.list_of_leaf_points
        left = problem.objective + np.dot(points, np.dot(np.array(problem.residual), points))
        for condition in problem._list_of_prepared_constraints:
            left -= condition.eval_dual() * condition.expression
        total: dict[Any, float] = {}
        for key, coefficient in left.decomposition_dict.items():
            if isinstance(key, tuple):
                place: Any = tuple(sorted((key[0].counter, key[1].counter)))
                size = abs(float(problem.G_value[place]))
            elif key == 1:
                continue
            else:
                place, size = key.counter, abs(float(problem.F_value[key.counter]))
            total[place] = total.get(place, 0.0) + float(coefficient) * size
        return float(sum(abs(part) for part in total.values()))


SETTINGS: dict[str, dict[str, Any]] = {"CLARABEL": {}, "SCS": {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iters": 50_000}}


def _none(status: str, solver: str, seconds: float) -> Solved:
    nan = math.nan
    return Solved(nan, nan, nan, status, solver, seconds, np.zeros((0, 0)), np.zeros(0))


def coordinates(gram: NDArray[np.float64], *, relative: float = 1e-5) -> NDArray[np.float64]:
    """Vectors with these inner products, as columns in as few dimensions as the Gram matrix has eigenvalues above
    `relative` of its largest. Shape (dimension, k)."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = eigenvalues > relative * max(float(eigenvalues.max()), 0.0)
    return np.asarray((vectors[:, kept] * np.sqrt(eigenvalues[kept])).T[::-1])
