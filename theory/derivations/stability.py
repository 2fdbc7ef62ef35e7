"""Uniform stability of SGD: expansiveness of a step, growth of two coupled runs, and the bounds (C1 to C4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from problems.stability import Losses
from theory.claim import claims
from theory.claims.stability_convex import convex_bound, strongly_convex_bound
from theory.claims.stability_nonconvex import nonconvex_bound
from theory.derivation import Derivation, Given, Induction, Lemma, Limit, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.families import given
from theory.inner_product import dot, norm2, square, vectors
from theory.setting import Facts
from theory.stability import expansion, pair_of, stepper
from theory.trial import Values

gamma, L, mu, lipschitz = sp.symbols("gamma L mu L_loss", positive=True)
n = sp.Symbol("n", positive=True)
x, v = vectors("x v")  # the difference of two points and that of their gradients

# -- C1: one gradient step --

EXPANSION = (
    Given("smooth", L**2 * norm2(x) - norm2(v), ">=", "hypothesis", "grad f is L-Lipschitz"),
    Given("cocoercive", L * dot(x, v) - norm2(v), ">=", "standard", "f is convex and L-smooth: for `convex` alone"),
    Given("2/L", 2 - gamma * L, ">=", "hypothesis", "gamma <= 2/L: for `convex` alone"),
    Given(
        "interpolation",
        dot(v - mu * x, L * x - v),
        ">=",
        "standard",
        "f is mu-strongly convex and L-smooth: for the steps that follow `convex`",
    ),
    Given("strongly convex", dot(x, v) - mu * norm2(x), ">=", "hypothesis", "f is mu-strongly convex"),
    Given("2/(L + mu)", 2 - gamma * (L + mu), ">=", "hypothesis", "gamma <= 2/(L + mu)"),
    Given("mu <= L", L - mu, ">=", "standard", "mu is at most L"),
)
step_apart = norm2(x - gamma * v)
EXPANSION_STEPS = (
    Step(
        "smooth alone",
        step_apart,
        "<=",
        (1 + gamma * L) ** 2 * norm2(x),
        by=((gamma**2, "smooth"), (gamma / L, square(v + L * x)), (gamma / L, "smooth")),
        why="chi = 1 + gamma L",
    ),
    Step(
        "convex",
        step_apart,
        "<=",
        norm2(x),
        by=((2 * gamma / L, "cocoercive"), (gamma / L, "2/L", square(v))),
        why="chi = 1",
    ),
    Step(
        "strongly convex, by the harmonic mean",
        step_apart,
        "<=",
        (1 - gamma * L * mu / (L + mu)) ** 2 * norm2(x),
        by=(
            (2 * gamma / (L + mu), "interpolation"),
            (gamma / (L + mu), "2/(L + mu)", square(v)),
            ((gamma * L * mu / (L + mu)) ** 2, square(x)),
        ),
        why="chi = 1 - gamma L mu/(L + mu)",
    ),
    Step(
        "strongly convex, by mu",
        step_apart,
        "<=",
        (1 - gamma * mu) ** 2 * norm2(x),
        by=((gamma**2, "interpolation"), (gamma, "2/(L + mu)", "strongly convex")),
        why="chi = 1 - gamma mu",
    ),
    Step(
        "factor",
        0,
        "<=",
        1 - gamma * mu,
        by=((sp.Rational(1, 2), "2/(L + mu)"), (gamma / 2, "mu <= L")),
        why="so that chi is this factor and not its negative",
    ),
)


def _chi(*, convexity: Callable[[Mapping[str, float]], float]) -> Callable[[Mapping[str, float]], float]:
    return lambda point: expansion(point["gamma"], point["L"], convexity(point), {})


SHORT = [{"gamma": 0.4, "L": 2.0, "mu": 0.3}, {"gamma": 0.1, "L": 1.0, "mu": 1.0}, {"gamma": 1.0, "L": 1.0, "mu": 0.2}]
LONG = [{"gamma": 0.8, "L": 2.0, "mu": 0.3}, {"gamma": 1.2, "L": 1.0, "mu": 0.5}, {"gamma": 0.55, "L": 2.0, "mu": 1.5}]

derivations.add(
    Derivation(
        id="stability/expansiveness",
        title="How far apart one gradient step takes two points (C1)",
        claims=("stability/expansiveness",),
        given=EXPANSION,
        steps=EXPANSION_STEPS,
        conclusion="strongly convex, by mu",
        meets=(
            Meets("smooth", 1 + gamma * L, _chi(convexity=lambda point: -point["L"]), SHORT),
            Meets("convex", sp.Integer(1), _chi(convexity=lambda point: 0.0), SHORT),
            Meets("strongly convex, gamma <= 1/L", 1 - gamma * mu, _chi(convexity=lambda p: p["mu"]), SHORT),
            Meets("strongly convex", 1 - gamma * L * mu / (L + mu), _chi(convexity=lambda p: p["mu"]), LONG),
        ),
        twins=(
            Twin(
                "steps beyond 2/L",
                "convex",
                without=("2/L", "2/(L + mu)"),
                counterexample={"gamma": 3, "L": 1, "mu": 1, "x": (1,), "v": (1,)},
            ),
            Twin(
                "1.01 times the contraction",
                "strongly convex, by mu",
                replace(EXPANSION_STEPS[3], right=(1 - sp.Rational(101, 100) * gamma * mu) ** 2 * norm2(x)),
                counterexample={"gamma": sp.Rational(1, 2), "L": 1, "mu": 1, "x": (1,), "v": (1,)},
            ),
            Twin("not convex", "convex", without=("cocoercive",)),
        ),
        remarks=(
            "x = 0 gives v = 0. 1 - gamma mu holds up to gamma = 2/(L + mu), not only to 1/L, and is then the smaller "
            "of the two factors; L = mu is included.",
        ),
        covers="all four factors, for every pair of points and dimension",
        latex_names={"x": r"\Delta x", "v": r"\Delta\nabla f", "L": r"\beta"},
    )
)  # fmt: skip

# -- C1: two coupled runs --

chi, before, moved, g_one, g_other, after, kick = sp.symbols("chi d d_same g g_prime d_changed e", nonnegative=True)

GROWTH = (
    Given("Lipschitz", lipschitz - g_one, ">=", "hypothesis", "||grad l(.; z)|| <= L_loss"),
    Given("Lipschitz, other", lipschitz - g_other, ">=", "hypothesis", "||grad l(.; z')|| <= L_loss"),
    Given(
        "expansive", chi * before - moved, ">=", "hypothesis", "this chi is an expansion, as in stability/expansiveness"
    ),
    Given("by the same step", moved + gamma * (g_one + g_other) - after, ">=", "standard", "via G(y)"),
    Given("by no step", before + gamma * (g_one + g_other) - after, ">=", "standard", "via x and y"),
    Given("length", gamma * g_one - kick, ">=", "standard", "||G(x) - x|| = gamma ||grad l||; projecting shortens it"),
)
GROWTH_STEPS = (
    Step("bounded step", kick, "<=", gamma * lipschitz, by=(("length",), (gamma, "Lipschitz"))),
    Step(
        "chi below 1",
        after,
        "<=",
        chi * before + 2 * gamma * lipschitz,
        by=(("by the same step",), ("expansive",), (gamma, "Lipschitz"), (gamma, "Lipschitz, other")),
    ),
    Step(
        "chi above 1",
        after,
        "<=",
        before + 2 * gamma * lipschitz,
        by=(("by no step",), (gamma, "Lipschitz"), (gamma, "Lipschitz, other")),
        why="both hold, and with them the bound by min(chi, 1)",
    ),
)


def _most_apart(point: Mapping[str, float]) -> float:
    """Two steps on the changed example of linear losses (slopes 1 and -1), from d apart: the growth is attained."""
    spec, method = "linear-losses:n=3", "projected-sgd:radius=100"
    setting = given(
        claims["stability/growth"], spec, "uniform", method=method, gamma=float(point["gamma"]), steps=1
    ).setting
    data, problem, neighbour = pair_of(setting)
    step, near, far = stepper(setting, 0), np.zeros(1), np.full(1, point["d"])
    ends = [
        step(problem, data.flip, one) - step(neighbour, data.flip, other) for one, other in ((near, far), (far, near))
    ]
    return float(np.abs(ends).max())


GROWTH_POINTS = [{"d": d, "gamma": g, "L_loss": 1.0} for d, g in ((0.0, 0.5), (1.0, 0.2), (3.0, 1.5))]

derivations.add(
    Derivation(
        id="stability/growth",
        title="How far apart one step takes two coupled runs (C1)",
        claims=("stability/growth",),
        given=GROWTH,
        steps=GROWTH_STEPS,
        conclusion="chi above 1",
        meets=(Meets("changed example", before + 2 * gamma * lipschitz, _most_apart, GROWTH_POINTS),),
        twins=(
            Twin(
                "a kick of gamma L_loss",
                "chi above 1",
                replace(GROWTH_STEPS[2], right=before + gamma * lipschitz),
                counterexample={
                    "chi": 1, "d": 0, "d_same": 0, "g": 1, "g_prime": 1, "L_loss": 1, "gamma": 1, "d_changed": 2,
                    "e": 1,
                },
            ),
            Twin("losses that are not Lipschitz", "bounded step", without=("Lipschitz",)),
        ),
        remarks=("The same example in both: chi d, which is `expansive` itself. Projection is non-expansive.",),
        covers="the bounded step, and the changed example with either factor",
        latex_names={"L_loss": r"L_\ell", "d": r"\|x-y\|", "d_same": r"\|G(x)-G(y)\|", "d_changed": r"\|G(x)-G'(y)\|",
                     "g_prime": "g'", "e": r"\|G(x)-x\|"},
    )
)  # fmt: skip

# -- C2 and C3: the recursion in expectation --

mean, mean_next, same, changed, total, t = sp.symbols("d d_next d_same d_changed s t", nonnegative=True)
loss = sp.Symbol("epsilon", real=True)

DRAWN = Given(
    "drawn", mean_next - (1 - 1 / n) * same - changed / n, "=", "definition", "probability 1/n of the changed"
)
SEVERAL = Given("examples", n - 1, ">=", "hypothesis", "n >= 1")
STABLE = Given(
    "stability", lipschitz * mean_next - loss, ">=", "standard", "the loss is L_loss-Lipschitz: epsilon_stab"
)

LIPSCHITZ = dict.fromkeys(("Lipschitz", "Lipschitz, other"), "every loss is L_loss-Lipschitz")
CHANGED = Given(
    "changed example",
    mean + 2 * gamma * lipschitz - changed,
    ">=",
    "lemma",
    "stability/growth, in expectation over the draws so far",
    lemma=Lemma("stability/growth", "chi above 1", at={}, granted=LIPSCHITZ),
)

CONVEX = (
    DRAWN,
    SEVERAL,
    STABLE,
    Given(
        "same example",
        mean - same,
        ">=",
        "lemma",
        "the root of stability/expansiveness for convex losses, in expectation over the draws so far",
        lemma=Lemma("stability/expansiveness", "convex", granted={"2/L": "gamma_t <= 2/L"}),
    ),
    CHANGED,
    Given(
        "bound at t",
        2 * lipschitz / n * total - mean,
        ">=",
        "induction",
        "induction over t: 0 = 0 at t = 0",
        Induction("bound at t + 1", next={mean: mean_next, total: total + gamma}, start={mean: 0, total: 0}),
    ),
)
CONVEX_STEPS = (
    Step(
        "one step",
        mean_next,
        "<=",
        mean + 2 * gamma * lipschitz / n,
        by=((1 / n, "examples", "same example"), (1 / n, "changed example"), (-1, "drawn")),
    ),
    Step(
        "bound at t + 1",
        mean_next,
        "<=",
        2 * lipschitz / n * (total + gamma),
        by=(("one step",), ("bound at t",)),
        why="s = gamma_0 + ... + gamma_{t-1}",
    ),
    Step(
        "uniform stability",
        loss,
        "<=",
        2 * lipschitz**2 / n * (total + gamma),
        by=(("stability",), (lipschitz, "bound at t + 1")),
    ),
)

POINTS = [
    {"n": 10, "L_loss": 1.5, "gamma": 0.1, "L": 2.0, "mu": 0.5, "t": 7},
    {"n": 3, "L_loss": 0.2, "gamma": 0.7, "L": 1.0, "mu": 1.0, "t": 1},
    {"n": 100, "L_loss": 4.0, "gamma": 0.01, "L": 5.0, "mu": 0.1, "t": 300},
]


def _bound(bound: Callable[[Facts, Values], Values]) -> Callable[[Mapping[str, float]], float]:
    def code(point: Mapping[str, float]) -> float:
        losses = Losses(point["L_loss"], point["L"], point["mu"], 0.0, 1.0)
        facts = facts_at(point, n=int(point["n"]), losses=losses)
        return float(bound(facts, np.array([float(point["t"])]))[0])

    return code


derivations.add(
    Derivation(
        id="stability/convex",
        title="Uniform stability of SGD on convex losses (C2)",
        claims=("stability/convex",),
        given=CONVEX,
        steps=CONVEX_STEPS,
        conclusion="uniform stability",
        meets=(Meets("bound", 2 * lipschitz**2 / n * gamma * t, _bound(convex_bound), POINTS),),
        twins=(
            Twin(
                "half of the bound",
                "one step",
                replace(CONVEX_STEPS[0], right=mean + gamma * lipschitz / n),
                counterexample={
                    "n": 2, "L_loss": 1, "gamma": 1, "d": 0, "d_same": 0, "d_changed": 2, "d_next": 1, "s": 0,
                    "epsilon": 1,
                },
            ),
            Twin("losses on which steps expand", "one step", without=("same example",)),
        ),
        remarks=("Steps may change with t. Attained by linear losses.",),
        covers="the recursion in expectation over the draw, its sum, and the change of the loss of any example",
        latex_names={"L_loss": r"L_\ell", "d": r"E\delta_t", "d_next": r"E\delta_{t+1}", "d_same": r"\delta_=",
                     "d_changed": r"\delta_{\neq}", "s": r"\Sigma_{s<t}\gamma_s", "epsilon": r"\epsilon_{stab}",
                     "gamma": r"\gamma_t"},
    )
)  # fmt: skip

limit = 2 * lipschitz / (mu * n)
STRONG = (
    DRAWN,
    SEVERAL,
    STABLE,
    Given("short", 1 - gamma * L, ">=", "hypothesis", "gamma <= 1/L"),
    Given("mu <= L", L - mu, ">=", "standard", "mu is at most L"),
    Given(
        "same example",
        (1 - gamma * mu) * mean - same,
        ">=",
        "lemma",
        "the root of stability/expansiveness for strongly convex losses, in expectation",
        lemma=Lemma(
            "stability/expansiveness",
            "strongly convex, by mu",
            granted={
                "2/(L + mu)": "gamma <= 1/L <= 2/(L + mu)",
                "strongly convex": "every loss is mu-strongly convex",
            },
        ),
    ),
    Given(
        "changed example",
        (1 - gamma * mu) * mean + 2 * gamma * lipschitz - changed,
        ">=",
        "lemma",
        "stability/growth with chi = 1 - gamma mu",
        lemma=Lemma(
            "stability/growth",
            "chi below 1",
            at={chi: 1 - gamma * mu},
            granted=LIPSCHITZ | {"expansive": "the same example"},
        ),
    ),
    Given(
        "bound at t",
        limit - mean,
        ">=",
        "induction",
        "induction over t: the runs are equal at t = 0",
        Induction("bound at t + 1", next={mean: mean_next}, start={mean: 0}),
    ),
)
STRONG_STEPS = (
    Step("factor", 0, "<=", 1 - gamma * mu, by=(("short",), (gamma, "mu <= L"))),
    Step(
        "one step",
        mean_next,
        "<=",
        (1 - gamma * mu) * mean + 2 * gamma * lipschitz / n,
        by=((1 / n, "examples", "same example"), (1 / n, "changed example"), (-1, "drawn")),
    ),
    Step("bound at t + 1", mean_next, "<=", limit, by=(("one step",), ("factor", "bound at t"))),
    Step(
        "uniform stability",
        loss,
        "<=",
        2 * lipschitz**2 / (mu * n),
        by=(("stability",), (lipschitz, "bound at t + 1")),
        why="at every t",
    ),
)

derivations.add(
    Derivation(
        id="stability/strongly-convex",
        title="Uniform stability of projected SGD on strongly convex losses (C3)",
        claims=("stability/strongly-convex",),
        given=STRONG,
        steps=STRONG_STEPS,
        conclusion="uniform stability",
        meets=(Meets("bound", 2 * lipschitz**2 / (mu * n), _bound(strongly_convex_bound), POINTS),),
        twins=(
            Twin(
                "half of the bound",
                "bound at t + 1",
                replace(STRONG_STEPS[2], right=limit / 2),
                # one example, and gamma = 1: its two runs are 2 apart at once
                counterexample={
                    "n": 1, "L_loss": 1, "gamma": 1, "L": 1, "mu": 1, "d": 0, "d_same": 0, "d_changed": 2, "d_next": 2,
                    "epsilon": 1,
                },
            ),
            Twin("runs from different starts", "bound at t + 1", without=("bound at t",)),
        ),
        remarks=("L_loss holds on the ball that the projection keeps the runs in; projection is non-expansive.",),
        covers="the recursion in expectation over the draw and its fixed point, at every t",
        latex_names={"L_loss": r"L_\ell", "d": r"E\delta_t", "d_next": r"E\delta_{t+1}", "d_same": r"\delta_=",
                     "d_changed": r"\delta_{\neq}", "epsilon": r"\epsilon_{stab}", "L": r"\beta"},
    )
)  # fmt: skip

# -- C4 --

c, tau, time = sp.symbols("c tau t", positive=True)
power = sp.Symbol("p", positive=True)  # beta c
q, u, T = sp.symbols("q u T", positive=True)
number = sp.Symbol("m", positive=True)  # n - 1
tail = (tau / time) ** (q + 1)

NONCONVEX = (
    DRAWN,
    SEVERAL,
    Given(
        "same example",
        (1 + gamma * L) * mean - same,
        ">=",
        "lemma",
        "the root of stability/expansiveness for smooth losses, in expectation over the draws so far",
        lemma=Lemma("stability/expansiveness", "smooth alone", granted={"smooth": "every loss is L-smooth"}),
    ),
    CHANGED,
)
NONCONVEX_STEPS = (
    Step(
        "one step",
        mean_next,
        "<=",
        (1 + (1 - 1 / n) * gamma * L) * mean + 2 * gamma * lipschitz / n,
        by=((1 / n, "examples", "same example"), (1 / n, "changed example"), (-1, "drawn")),
        why="while the changed example was not drawn, delta = 0",
    ),
    Step(
        "one term",
        u * (T / time) ** q / time,
        "=",
        (u * T**q) * time ** (-q - 1),
        why="u = 2 c L_loss^2: what a draw at t adds by T, (T/t)^q bounding the growth since, is (tau/t)^(q+1)",
    ),
    Step(
        "integral of the tail",
        sp.diff(-tau * (tau / time) ** q / q, time),
        "=",
        tail,
        why="an antiderivative; at t = tau it is -tau/q",
    ),
    Limit("nothing at infinity", time ** (-q), time, sp.oo, 0, direction="-"),
    Step(
        "replacing n",
        1 / (number + 1) + 1 / (power * number),
        "<=",
        (1 + 1 / power) / number,
        by=((1 / (number * (number + 1)),),),
        why="(1 + 1/q)/n with q = (1 - 1/n) beta c, p = beta c and m = n - 1",
    ),
)

derivations.add(
    Derivation(
        id="stability/nonconvex-algebra",
        title="Uniform stability of SGD on bounded nonconvex losses: the algebra (C4)",
        claims=("stability/nonconvex",),
        given=NONCONVEX,
        steps=NONCONVEX_STEPS,
        conclusion="one step",
        meets=(
            Meets(
                "bound",
                ((1 + 1 / power) / (n - 1) * (2 * gamma * lipschitz**2 * t**power) ** (1 / (power + 1))).subs(
                    power, L * gamma
                ),
                _bound(nonconvex_bound),
                POINTS,
            ),
        ),
        twins=(
            Twin(
                "the changed example kicks with L_loss, not 2 L_loss",
                "one step",
                replace(NONCONVEX_STEPS[0], right=(1 + (1 - 1 / n) * gamma * L) * mean + gamma * lipschitz / n),
                counterexample={
                    "n": 2, "L_loss": 1, "gamma": 1, "L": 1, "d": 0, "d_same": 0, "d_changed": 2, "d_next": 1,
                },
            ),
            Twin("a convex loss's factor on the same example", "one step", without=("same example",)),
        ),
        remarks=(
            "By hand: E min(1, L_loss delta_T) <= k/n + the sum of the terms t > k (losses lie in [0, 1]); 1 + q/t <= "
            "exp(q/t) and harmonic sums give (T/t)^q; the best k and the comparison of sum and integral; and that tau "
            "grows with q where the bound is below T/n.",
        ),
        covers="the recursion in expectation, the integral of the tail, and the constant; the choice of k is by hand",
        latex_names={"L_loss": r"L_\ell", "d": r"E\delta_t", "d_next": r"E\delta_{t+1}", "d_same": r"\delta_=",
                     "d_changed": r"\delta_{\neq}", "L": r"\beta", "p": r"\beta c", "m": "(n-1)"},
    )
)  # fmt: skip
