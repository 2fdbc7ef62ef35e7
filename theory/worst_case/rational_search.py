"""Certificates and counterexamples for `rational`, found with a conic solver and rounded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems.errors import InputError
from theory.worst_case.estimation import Estimation, coordinates, require
from theory.worst_case.rational import (
    MINIMISER,
    PAIRS,
    POINTS,
    Certificate,
    Counterexample,
    Measured,
    Refused,
    Row,
    Steps,
)

DENOMINATOR = 10**6
"""What a solver finds is rounded to multiples of 1/DENOMINATOR."""

INSIDE = (1e-4, 3e-4, 1e-3, 3e-3)
"""A counterexample is sought with mu and L these parts closer together, until rounding leaves it in the class."""


def searched(steps: Steps, rate: Fraction, measured: Measured = "suboptimality") -> Certificate:
    """A certificate found by a conic solver and rounded: of all multipliers, those that leave the most definite form.

    rate: larger than the worst case, so that there is room to round; a thousandth is plenty. Verified. Raises
    InputError where none is found: the rate is below the worst case, or too close to it.
    """
    require()
    import cvxpy

    start = Certificate(steps, rate, {}, measured)
    multipliers = cvxpy.Variable(len(PAIRS), nonneg=True)
    margin = cvxpy.Variable()
    wanted = start.values_left()
    flows = [sum((i == p) * c - (j == p) * c for (i, j), c in zip(PAIRS, multipliers, strict=True)) for p in POINTS[1:]]
    forms = [np.array(steps.form(*pair), dtype=float) for pair in PAIRS]
    form = np.array(start.form_left(), dtype=float) if measured == "distance" else np.zeros((4, 4))
    form = form + sum(c * f for c, f in zip(multipliers, forms, strict=True))
    # With all multipliers below some number the margin is bounded; that number is generous for gamma, rho near 1/L.
    problem: Any = cvxpy.Problem(
        cvxpy.Maximize(margin),
        [*(f == float(wanted[p]) for f, p in zip(flows, POINTS[1:], strict=True)),
         form >> margin * np.eye(4), multipliers >= margin / 100, multipliers <= 1000],
    )  # fmt: skip
    problem.solve(solver="CLARABEL")
    if multipliers.value is None:
        raise InputError(f"rate must exceed the worst case at these steps, got {rate}: {problem.status}")
    rounded = dict(zip(PAIRS, _rounded(multipliers.value), strict=True))
    # What rounding left of the values goes to the inequalities from and to the minimiser.
    for point, left in Certificate(steps, rate, rounded, measured).values_left().items():
        if point != MINIMISER:
            rounded[(point, MINIMISER)] += max(left, Fraction(0))
            rounded[(MINIMISER, point)] += max(-left, Fraction(0))
    found = Certificate(steps, rate, {pair: c for pair, c in rounded.items() if c}, measured)
    try:
        found.verify()
    except Refused as why:
        raise InputError(f"rate must exceed the worst case by more than rounding, got {rate}: {why}") from None
    return found


def refuting(steps: Steps, rate: Fraction, measured: Measured = "distance") -> Counterexample:
    """A function that exceeds the rate, by what it has at the four points, in as few dimensions as a solver finds.

    Verified. Raises InputError where none is found: the rate is above the worst case, or too close to it.
    """
    why = ""
    for part in INSIDE:
        try:
            found = _worst(steps, rate, measured, part)
            found.verify()
        except Refused as refused:
            why = str(refused)
        else:
            return found
    raise InputError(f"rate must be below the worst case at these steps by more than rounding, got {rate}: {why}")


def _worst(steps: Steps, rate: Fraction, measured: Measured, inside: float) -> Counterexample:
    """The worst function with mu and L this part closer together, rounded."""
    mu, L, gamma, rho = (float(number) for number in (steps.mu, steps.L, steps.gamma, steps.rho))
    with Estimation("strongly-convex", mu * (1 + inside), L * (1 - inside)) as problem:
        x, centre = problem.direction(), problem.f.list_of_stationary_points[0][0]
        g = problem.gradient(x)
        h = problem.gradient(x + rho * g)
        stepped = x - gamma * h
        vectors = (x - centre, g, h, problem.gradient(stepped))
        away = measured == "distance"
        problem.impose((vectors[0] ** 2 if away else problem.gap(x)) <= 1)
        solved = problem.largest((stepped - centre) ** 2 if away else problem.gap(stepped), slack=1e-4)
        if not solved.gram.size:
            raise Refused(f"{solved.solver} ended with {solved.status}")
        gram = np.array([[float((u * v).eval()) for v in vectors] for u in vectors])
        values = [float(problem.gap(point).eval()) for point in (x, x + rho * g, stepped)]
    columns = coordinates(gram).T
    rows = tuple(_rounded(column) for column in columns)
    return Counterexample(steps, rate, (rows[0], rows[1], rows[2], rows[3]), _rounded(np.array(values)), measured)


def _rounded(numbers: NDArray[np.float64]) -> Row:
    return tuple(Fraction(round(float(number) * DENOMINATOR), DENOMINATOR) for number in numbers)
