"""Expected-residual constants of every sampling, from E v_i v_j = common + [i = j] diagonal_i, one component at a time.

X is the sum of E[v_i v_j] <grad f_i, grad f_j> over the components i, j so far, S the sum of their gradients and E that
of their gaps; after the last one they are n^2 E||grad f_v||^2, n grad f and n (f - f* + sigma*).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from problems.problem import problems
from theory.derivation import Derivation, Given, Induction, Meets, Step, Twin, derivations
from theory.inner_product import dot, norm2, square, vectors
from theory.samplings import (
    ERConstants,
    Sampling,
    er_constants,
    independent,
    partition,
    quadratic_er,
    replacement,
    single,
    tau_nice,
)

n, p, q, tau, L_i = sp.symbols("n p_i q_i tau L_i", positive=True)
A, common, diagonal, gap, gaps, D, sigma, x2 = sp.symbols("A c d_i e_i E D sigma x2", nonnegative=True)
X = sp.Symbol("X", real=True)
S, f = vectors("S f_i")
full_gradient = (1 / n) * (S + f)
C = 2 * A * sigma

COMPONENTS = (
    Given("smooth component", 2 * L_i * gap - norm2(f), ">=", "standard", "||grad f_i||^2 <= 2 L_i (f_i - inf f_i)"),
    Given("A", n * A - diagonal * L_i, ">=", "definition", "A = max_i d_i L_i/n"),
    Given(
        "components so far",
        2 * A * n * gaps + common * norm2(S) - X,
        ">=",
        "induction",
        "induction: for no component both sides are 0, with one more it is the step 'one component more'",
        Induction(
            "one component more",
            next={
                gaps: gaps + gap,
                X: X + 2 * common * dot(S, f) + (common + diagonal) * norm2(f),
                "S": S + f,
            },
            start={gaps: 0, X: 0, "S": 0 * S},
        ),
    ),
)
MORE = X + 2 * common * dot(S, f) + (common + diagonal) * norm2(f)
"""X with component i."""

INDUCTION = (
    Step(
        "one component",
        diagonal * norm2(f),
        "<=",
        2 * A * n * gap,
        by=((diagonal, "smooth component"), (2 * gap, "A")),
    ),
    Step(
        "one component more",
        MORE,
        "<=",
        2 * A * n * (gaps + gap) + common * norm2(S + f),
        by=(("components so far",), ("one component",)),
        why="E v_i v_j = c for the pairs with i, and c + d_i for i itself",
    ),
)

SAMPLINGS = (
    Step("single: diagonal", p * (1 / p) ** 2 * L_i / n, "=", L_i / (n * p), why="v_i = 1/p_i with probability p_i, "
         "never two at once: c = 0, d_i = 1/p_i. Uniform is p_i = 1/n; a partition is this with blocks as components"),
    Step("tau-nice: common", (n / tau) ** 2 * (tau * (tau - 1) / (n * (n - 1))), "=", n * (tau - 1) / (tau * (n - 1)),
         why="v_i = n/tau, and a pair is drawn with probability tau (tau - 1)/(n (n - 1)): this is B"),
    Step("tau-nice: diagonal", ((n / tau) ** 2 * (tau / n) - n * (tau - 1) / (tau * (n - 1))) * L_i / n, "=",
         (n - tau) / (tau * (n - 1)) * L_i, why="with L_max for L_i this is A"),
    Step("replacement: common", tau * (tau - 1) * p * q / (tau**2 * p * q), "=", 1 - 1 / tau,
         why="counts of i and j in tau draws: E k_i k_j = tau (tau - 1) q_i q_j; this is B"),
    Step("replacement: diagonal", ((tau * (tau - 1) * q**2 + tau * q) / (tau * q) ** 2 - (1 - 1 / tau)) * L_i / n, "=",
         L_i / (tau * n * q), why="E k_i^2 = tau (tau - 1) q_i^2 + tau q_i"),
    Step("independent: diagonal", (p * (1 / p) ** 2 - 1) * L_i / n, "=", (1 - p) * L_i / (p * n),
         why="E v_i v_j = 1 for i != j: c = 1 is B"),
    Step("tau-nice: sign", 0, "<=", (n - tau) * L_i, by=(("batch size", L_i),), why="d_i >= 0"),
    Step("independent: sign", 0, "<=", (1 - p) / p, by=((1 / p, "probability"),), why="d_i >= 0"),
    Step("attained", (1 / p * (L_i**2 * x2)).subs(p, L_i / (n * A)), "=", 2 * A * n * (L_i * x2 / 2),
         why="f_i = L_i x^2/2 with p_i proportional to L_i: A = L_avg, and every component is an equality"),
)  # fmt: skip

STEPS = (
    *INDUCTION,
    Step(
        "all components",
        MORE / n**2,
        "<=",
        2 * A * D + common * norm2(full_gradient) + C,
        by=((1 / n**2, "one component more"), (2 * A / n, "gaps add up")),
        why="i is the last: E||grad f_v||^2 <= 2 A (f - f*) + B ||grad f||^2 + C",
    ),
    *SAMPLINGS,
)
STEP = {step.name: step for step in STEPS}


def _law(first: float, n_components: int) -> list[float]:
    """Probability `first` for component 0, equal ones for the others."""
    return [first, *[(1 - first) / (n_components - 1)] * (n_components - 1)]


def _parabolas(curvatures: list[float]) -> str:
    return "parabolas:h=" + "/".join(repr(h) for h in curvatures)


def _constants(point: Mapping[str, float], sampling: Sampling) -> ERConstants:
    """Of n parabolas, the first with curvature L_i and the others a tenth of it: the maximum is that of the first."""
    size = int(point["n"])
    problem = problems.build(_parabolas([point["L_i"], *[point["L_i"] / 10] * (size - 1)]))
    return er_constants(problem, sampling)


def _single(point: Mapping[str, float]) -> ERConstants:
    return _constants(point, single(_law(point["p_i"], int(point["n"]))))


def _tau_nice(point: Mapping[str, float]) -> ERConstants:
    return _constants(point, tau_nice(int(point["n"]), int(point["tau"])))


def _replacement(point: Mapping[str, float]) -> ERConstants:
    return _constants(point, replacement(_law(point["q_i"], int(point["n"])), int(point["tau"])))


def _independent(point: Mapping[str, float]) -> ERConstants:
    return _constants(point, independent([point["p_i"], *[0.9] * (int(point["n"]) - 1)]))


def _partition(point: Mapping[str, float]) -> ERConstants:
    """Component 0 is a block of its own."""
    blocks = [0, *[1] * (int(point["n"]) - 1)]
    return _constants(point, partition(blocks, [point["p_i"], 1 - point["p_i"]]))


POINTS: list[Mapping[str, float]] = [
    {"n": 3.0, "tau": 2.0, "p_i": 0.25, "q_i": 0.3, "L_i": 2.0},
    {"n": 5.0, "tau": 3.0, "p_i": 0.125, "q_i": 0.2, "L_i": 0.5},
    {"n": 4.0, "tau": 1.0, "p_i": 0.2, "q_i": 0.1, "L_i": 1.5},
    {"n": 4.0, "tau": 4.0, "p_i": 0.25, "q_i": 0.25, "L_i": 1.0},
]


def _right(name: str) -> sp.Expr:
    return sp.sympify(STEP[name].right)


derivations.add(
    Derivation(
        id="unified-sam/er-constants",
        title="Expected-residual constants of the samplings",
        claims=("unified-sam/er-constants",),
        given=(
            *COMPONENTS,
            Given(
                "gaps add up",
                n * (D + sigma) - gaps - gap,
                "=",
                "definition",
                "sum_i (f_i - inf f_i) = n (f - f* + sigma*), sigma* = f* - (1/n) sum_i inf f_i",
            ),
            Given("several components", n - 1, ">", "hypothesis", "n >= 2, for the pairs of tau-nice sampling"),
            Given("batch size", n - tau, ">=", "hypothesis", "tau <= n"),
            Given("probability", 1 - p, ">=", "hypothesis", "p_i <= 1"),
        ),
        steps=STEPS,
        conclusion="all components",
        meets=(
            Meets("single: A", _right("single: diagonal"), lambda point: _single(point).A, POINTS),
            Meets("partition: A", _right("single: diagonal"), lambda point: _partition(point).A, POINTS),
            Meets("tau-nice: A", _right("tau-nice: diagonal"), lambda point: _tau_nice(point).A, POINTS),
            Meets("tau-nice: B", _right("tau-nice: common"), lambda point: _tau_nice(point).B, POINTS),
            Meets("replacement: A", _right("replacement: diagonal"), lambda point: _replacement(point).A, POINTS),
            Meets("replacement: B", _right("replacement: common"), lambda point: _replacement(point).B, POINTS),
            Meets("independent: A", _right("independent: diagonal"), lambda point: _independent(point).A, POINTS),
        ),
        twins=(
            Twin(
                "0.99 A",
                "one component",
                replace(STEP["one component"], right=sp.Rational(99, 100) * 2 * A * n * gap),
                # x^2/2 and a constant at x = 1, one of the two drawn
                counterexample={
                    "n": 2, "d_i": 2, "L_i": 1, "A": 1, "e_i": sp.Rational(1, 2), "E": 0, "c": 0, "X": 0, "D": 0,
                    "sigma": sp.Rational(1, 4), "tau": 1, "p_i": sp.Rational(1, 2), "S": (0,), "f_i": (1,),
                },
            ),
            Twin(
                "draws with replacement scored as tau-nice ones",
                "replacement: diagonal",
                replace(STEP["replacement: diagonal"], right=(n - tau) / (tau * (n - 1)) * L_i),
                # the whole batch, drawn with replacement
                counterexample={
                    "n": 2, "d_i": 1, "L_i": 1, "A": 1, "e_i": sp.Rational(1, 2), "E": 0, "c": 0, "X": 0, "D": 0,
                    "sigma": sp.Rational(1, 4), "tau": 2, "p_i": 1, "q_i": sp.Rational(1, 2), "S": (0,), "f_i": (1,),
                },
            ),
            Twin(
                "the common part forgotten",
                "one component more",
                replace(STEP["one component more"], right=2 * A * n * (gaps + gap)),
            ),
            Twin("without inf f_i > -infinity", "one component", without=("smooth component",)),
        ),
        remarks=(
            "For a partition the components are its blocks: f_i, L_i and p_i are those of the sum over a block, and "
            "sigma* has the infima of the blocks; the code takes the smaller sum of the components' infima, a bound.",
            "Uniform sampling is p_i = 1/n, A = L_max; importance sampling p_i = L_i/(n L_avg), A = L_avg.",
            "n = 1 is the full batch, (A, B, C) = (0, 1, 0), for every sampling, and is left out: the pairs of "
            "tau-nice sampling are 0/0 there. tau-nice at tau = n is the full batch too.",
            "A component with d_i = 0 or p_i = 0 must have a constant f_i, and adds nothing.",
        ),
        covers="A, B and C = 2 A sigma* of single-element, uniform, importance, tau-nice, with-replacement, "
        "independent and partition sampling, for any n >= 2; the probabilities of inclusion are the textbook's",
        latex_names={
            "f_i": r"\nabla f_i", "S": r"\textstyle\sum_{j<i}\nabla f_j", "e_i": r"(f_i-\inf f_i)", "x2": "x^2",
            "E": r"\textstyle\sum_{j<i}(f_j-\inf f_j)", "c": "c", "d_i": "d_i", "sigma": r"\sigma^*", "p_i": "p_i",
            "q_i": "q_i", "L_i": "L_i",
        },
    )
)  # fmt: skip

# -- sums of quadratics with indefinite components --

s = sp.Symbol("s", positive=True)
A0, C0 = sp.symbols("A0 C0", nonnegative=True)
moving, at_minimiser = vectors("H_vz g_v*")  # H_v (x - x*); grad f_v(x*)

SPLIT = (
    Step(
        "split",
        norm2(moving + at_minimiser),
        "<=",
        (1 + s) * norm2(moving) + (1 + 1 / s) * norm2(at_minimiser),
        by=((1 / s, square(s * moving - at_minimiser)),),
        why="Young's inequality with weight s",
    ),
    Step(
        "constants",
        norm2(moving + at_minimiser),
        "<=",
        2 * (1 + s) * A0 * D + (1 + 1 / s) * C0,
        by=(("split",), (1 + s, "Rayleigh"), (1 + 1 / s, "noise")),
    ),
)

PAIRS: list[Mapping[str, float]] = [
    {"a": a, "b": b, "s": s_value, "A0": (a**2 + b**2) / (a - b), "C0": 1.0}
    for a, b, s_value in ((2.0, 1.0, 1.0), (1.0, 0.25, 0.5), (3.0, 0.5, 4.0))
]


def _pair(point: Mapping[str, float]) -> ERConstants:
    """Parabolas of curvature a and -b with slopes 1 and -1, drawn uniformly."""
    problem = problems.build(f"parabolas:h={point['a']!r}/{-point['b']!r},slopes=1/-1")
    return quadratic_er(problem, single([0.5, 0.5]), split=point["s"])


derivations.add(
    Derivation(
        id="unified-sam/er-quadratics",
        title="Expected-residual constants of quadratics with indefinite components",
        claims=("unified-sam/er-constants",),
        given=(
            Given(
                "Rayleigh",
                2 * A0 * D - norm2(moving),
                ">=",
                "standard",
                "E||H_v z||^2 = z'E[H_v^2]z <= A0 z'Hz = 2 A0 D, A0 = lambda_max(H^-1/2 E[H_v^2] H^-1/2)",
            ),
            Given("noise", C0 - norm2(at_minimiser), "=", "definition", "C0 = E||grad f_v(x*)||^2"),
        ),
        steps=SPLIT,
        conclusion="constants",
        meets=(
            Meets("A", (1 + s) * A0, lambda point: _pair(point).A, PAIRS),
            Meets("C", (1 + 1 / s) * C0, lambda point: _pair(point).C, PAIRS),
        ),
        twins=(
            Twin(
                "no price for the split",
                "constants",
                replace(SPLIT[1], right=2 * A0 * D + C0),
                # one component x^2/2 + x of two, at x = 1
                counterexample={"A0": 1, "C0": 1, "D": sp.Rational(1, 2), "s": 1, "H_vz": (1,), "g_v*": (1,)},
            ),
            Twin("without the eigenvalue bound", "constants", without=("Rayleigh",)),
        ),
        remarks=("Where grad f_v(x*) = 0 for every v, C0 = 0 and A = A0: that is 'Rayleigh' itself.",),
        covers="A = (1 + s) A0, B = 0, C = (1 + 1/s) C0 for every s > 0; components may be indefinite",
        latex_names={"H_vz": r"H_v(x-x^*)", "g_v*": r"\nabla f_v(x^*)", "A0": "A_0", "C0": "C_0"},
    )
)
