"""Expected smoothness of every sampling (B1): the induction of the expected residual, Bregman distances for gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import sympy as sp

from problems.problem import problems
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivations import expected_residual as residual
from theory.inner_product import norm2
from theory.samplings import Sampling, independent, partition, replacement, single, tau_nice
from theory.smoothness import expected_smoothness

Number = Callable[[Mapping[str, float]], float]

n, L_i, tau, p, q = residual.n, residual.L_i, residual.tau, residual.p, residual.q
A, common, D, f, S = residual.A, residual.common, residual.D, residual.f, residual.S
L_f = sp.Symbol("L_f", positive=True)
MORE = residual.MORE
whole = norm2(residual.full_gradient)

B1 = (
    *residual.INDUCTION,
    Step(
        "all components",
        MORE / n**2,
        "<=",
        2 * (common * L_f + A) * D,
        by=((1 / n**2, "one component more"), (2 * A / n, "distances add up"), (common, "smooth mean")),
        why="E||grad f_v(x) - grad f_v(x*)||^2 <= 2 l (f - f*), l = c L_f + max_i d_i L_i/n",
    ),
    *(step for step in residual.SAMPLINGS if step.name != "attained"),
    Step(
        "attained",
        common * (L_f**2 * residual.x2),
        "=",
        2 * (common * L_f) * (L_f * residual.x2 / 2),
        why="the whole batch, c = 1, on a parabola",
    ),
)

POINTS = [{**point, "L_f": point["L_i"] * (1 + 0.1 * (point["n"] - 1)) / point["n"]} for point in residual.POINTS]
"""n parabolas, the first with curvature L_i and the others a tenth of it."""


def _smoothness(sampling: Callable[[Mapping[str, float]], Sampling]) -> Number:
    def value(point: Mapping[str, float]) -> float:
        size = int(point["n"])
        curvatures = [point["L_i"], *[point["L_i"] / 10] * (size - 1)]
        problem = problems.build("parabolas:h=" + "/".join(repr(h) for h in curvatures))
        return expected_smoothness(problem, sampling(point)).value

    return value


def _law(first: float, size: float) -> list[float]:
    return [first, *[(1 - first) / (size - 1)] * (int(size) - 1)]


def _tau_nice(point: Mapping[str, float]) -> Sampling:
    return tau_nice(int(point["n"]), int(point["tau"]))


def _replacement(point: Mapping[str, float]) -> Sampling:
    return replacement(_law(point["q_i"], point["n"]), int(point["tau"]))


def _independent(point: Mapping[str, float]) -> Sampling:
    return independent([point["p_i"], *[0.9] * (int(point["n"]) - 1)])


def _partition(point: Mapping[str, float]) -> Sampling:
    """Component 0 is a block of its own."""
    return partition([0, *[1] * (int(point["n"]) - 1)], [point["p_i"], 1 - point["p_i"]])


def _right(name: str) -> sp.Expr:
    return sp.sympify(residual.STEP[name].right)


# The whole batch of two parabolas x^2/2, at x = 1.
WHOLE_BATCH = {
    "n": 2, "d_i": 0, "L_i": 1, "L_f": 1, "A": 0, "e_i": sp.Rational(1, 2), "E": sp.Rational(1, 2), "c": 1, "X": 1,
    "D": sp.Rational(1, 2), "tau": 2, "p_i": 1, "S": (1,), "f_i": (1,),
}  # fmt: skip

derivations.add(
    Derivation(
        id="sgd/expected-smoothness",
        title="Expected smoothness of the samplings (B1)",
        claims=("sgd/expected-smoothness",),
        given=(
            Given(
                "smooth component",
                2 * L_i * residual.gap - norm2(f),
                ">=",
                "standard",
                "f_i is convex: ||grad f_i(x) - grad f_i(x*)||^2 <= 2 L_i times its Bregman distance",
            ),
            *residual.COMPONENTS[1:],
            Given(
                "distances add up",
                n * D - residual.gaps - residual.gap,
                "=",
                "definition",
                "the Bregman distances of the f_i from x* have the mean f(x) - f*, as grad f(x*) = 0",
            ),
            Given("smooth mean", 2 * L_f * D - whole, ">=", "standard", "||grad f||^2 <= 2 L_f (f - f*)"),
            Given("several components", n - 1, ">", "hypothesis", "n >= 2, for the pairs of tau-nice sampling"),
            Given("batch size", n - tau, ">=", "hypothesis", "tau <= n"),
            Given("probability", 1 - p, ">=", "hypothesis", "p_i <= 1"),
        ),
        steps=B1,
        conclusion="all components",
        meets=(
            Meets("single", _right("single: diagonal"), _smoothness(lambda o: single(_law(o["p_i"], o["n"]))), POINTS),
            Meets("partition", _right("single: diagonal"), _smoothness(_partition), POINTS),
            Meets(
                "tau-nice",
                _right("tau-nice: common") * L_f + _right("tau-nice: diagonal"),
                _smoothness(_tau_nice),
                POINTS,
            ),
            Meets(
                "replacement",
                _right("replacement: common") * L_f + _right("replacement: diagonal"),
                _smoothness(_replacement),
                POINTS,
            ),
            Meets("independent", L_f + _right("independent: diagonal"), _smoothness(_independent), POINTS),
        ),
        twins=(
            Twin(
                "0.95 l",
                "all components",
                replace(B1[2], right=sp.Rational(95, 100) * 2 * (common * L_f + A) * D),
                counterexample=WHOLE_BATCH,
            ),
            Twin(
                "the mean's own part forgotten",
                "all components",
                replace(B1[2], right=2 * A * D),
                counterexample=WHOLE_BATCH,
            ),
            Twin("without convex components", "one component", without=("smooth component",)),
        ),
        remarks=(
            "grad f_i here is grad f_i(x) - grad f_i(x*), and their mean is grad f(x).",
            "For a partition the components are its blocks: L_i and p_i are those of a block.",
        ),
        covers="l of single-element, uniform, importance, tau-nice, with-replacement, independent and partition "
        "sampling, for any n >= 2 (n = 1 is the full batch); the best constant of indefinite quadratics is the "
        "eigenvalue bound by definition",
        latex_names={
            "f_i": r"(\nabla f_i(x)-\nabla f_i(x^*))", "S": r"\textstyle\sum_{j<i}(\nabla f_j(x)-\nabla f_j(x^*))",
            "E": r"\textstyle\sum_{j<i}e_j", "c": "c", "d_i": "d_i", "e_i": "e_i", "p_i": "p_i", "q_i": "q_i",
            "L_i": "L_i", "x2": "x^2",
        },
    )
)  # fmt: skip
