"""Two coupled runs of SAM and of unnormalised SAM on data sets that differ in one example (B6, B7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.claims.ssam_stability import floor_of, outlier
from theory.claims.ssam_stability import radius as cycle_radius
from theory.derivation import Derivation, Given, Induction, Lemma, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations.still_lab import Still
from theory.families import given
from theory.setting import facts_of

rho, n = sp.symbols("rho n", positive=True)

# -- the floor --

turn, r, c, v = sp.symbols("tau r c v", positive=True)  # tau = gamma h; r the 2-cycle; c the largest distance to it
W, Z, stay, apart, lacking, late, qT, wK = sp.symbols("W Z N delta E_lack S q_T w_K", nonnegative=True)
q = 1 - 1 / n  # another example is drawn
w = (1 - turn) * q

FLOOR = (
    Given("short step", 1 - turn, ">", "hypothesis", "tau = gamma h < 1"),
    Given("cycle", r * (2 - turn) - turn * rho, "=", "definition", "r = gamma h rho/(2 - gamma h)"),
    Given("no turn", stay - (1 - turn) * W + turn * rho, "=", "definition", "N = |x| after a step without a turn"),
    Given(
        "reached",
        Z + rho - W,
        ">=",
        "induction",
        "induction over t: W = |x_t| <= |z| + rho, and 0 at t = 0",
        Induction("bounded", next={W: (1 - turn) * W + turn * (Z + rho)}, start={W: 0}),
    ),
    Given("c, first", c - r, ">=", "definition", "c = max(r, |z| + rho - r)"),
    Given("c, second", c - (Z + rho - r), ">=", "definition", "c = max(r, |z| + rho - r)"),
    Given("more than one example", n - 1, ">=", "hypothesis", "q = 1 - 1/n >= 0"),
    Given(
        "late draws",
        2 * c / n * v * (1 - wK) - late,
        ">=",
        "induction",
        "induction over K: S_K is the sum of 2 c (1 - tau)^k q^k/n over k < K; S_0 = 0, w_K = w^K",
        Induction("one draw later", next={late: late + 2 * c * wK / n, wK: wK * w}, start={late: 0, wK: 1}),
    ),
    Given("v", v * (1 - w) - 1, "=", "definition", "v = 1/(1 - w), positive by `ratio`"),
    Given(
        "total expectation",
        2 * r * qT + late - lacking,
        ">=",
        "standard",
        "E (2 r - |x_T - x_T'|)_+: never drawn (q^T), or last drawn k steps ago ((1/n) q^k)",
    ),
    Given("positive part", lacking - 2 * r + apart, ">=", "standard", "E (2 r - delta)_+ >= 2 r - E delta"),
)

FLOOR_STEPS = (
    Step("a length", 0, "<=", (1 - turn) * W + turn * (Z + rho), by=(("short step", W), (turn * (Z + rho),))),
    Step(
        "a turn",
        turn * rho - (1 - turn) * W - r,
        "=",
        -(1 - turn) * (W - r),
        by=(("cycle",),),
        why="|x| after a turn; the runs are mirror images, |x - x'| = 2 |x|",
    ),
    Step(
        "no turn, from above",
        stay - r,
        "<=",
        (1 - turn) * (W - r),
        by=((2 * r,), (-1, "cycle"), (-1, "no turn")),
    ),
    Step(
        "no turn, from below",
        -(1 - turn) * (W - r),
        "<=",
        stay - r,
        by=((2 * stay,), (-1, "no turn"), (-1, "cycle")),
        why="so | |x| - r | falls by the factor 1 - tau at least, either way",
    ),
    Step(
        "bounded",
        (1 - turn) * W + turn * (Z + rho),
        "<=",
        Z + rho,
        by=(("short step", "reached"),),
        why="|x+| = |(1 - tau) x + tau (z_i - rho sign)| for any example, z_i = 0 or z_i = z",
    ),
    Step("far from the cycle", W - r, "<=", c, by=(("reached",), ("c, second",))),
    Step("far from the cycle, inside", r - W, "<=", c, by=((W,), ("c, first",))),
    Step(
        "ratio",
        0,
        "<",
        1 - w,
        by=((turn,), (1 / n, "short step")),
        why="w = (1 - tau) q < 1",
    ),
    Step(
        "one draw later",
        late + 2 * c / n * wK,
        "<=",
        2 * c / n * v * (1 - w * wK),
        by=(("late draws",), (2 * c / n * wK, "v")),
        why="S_{K+1} <= (2 c/n)(1 - w^{K+1})/(1 - w)",
    ),
    Step("ratio is nonnegative", 0, "<=", w, by=(("short step", "more than one example", 1 / n),)),
    Step(
        "floor",
        2 * r * (1 - qT) - 2 * c / n * v,
        "<=",
        apart,
        by=(("positive part",), ("total expectation",), ("late draws",), (2 * c / n * v, wK)),
        why="a lower bound of E|x_T - x_T'|",
    ),
)


def _floor_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(0)
    found: list[Mapping[str, float]] = []
    for n in (64, 128, 512):
        gamma, h, rho, z = rng.uniform(0.2, 0.9), rng.uniform(0.5, 1.0), rng.uniform(0.2, 1), rng.uniform(0.3, 0.6)
        T = 3 * n
        r = gamma * h * rho / (2 - gamma * h)
        found.append(
            {
                "n": n, "gamma": gamma, "L": h, "tau": gamma * h, "rho": rho, "Z": z, "r": r, "c": max(r, z + rho - r),
                "q_T": (1 - 1 / n) ** T, "w_K": 0.0, "T": T,
            }
        )  # fmt: skip
    return found


def _floor(point: Mapping[str, float]) -> float:
    return float(floor_of(facts_at(point, n=int(point["n"])), point["Z"], np.array([float(point["T"])]))[0])


FLOOR_POINTS = _floor_points()

# tau = 1/2, rho = 3: r = 1, one example z = 1 and c = 3.
ON_THE_CYCLE: Mapping[str, sp.Expr | int] = {
    "tau": sp.Rational(1, 2), "rho": 3, "r": 1, "c": 3, "Z": 1, "n": 1000, "q_T": 0, "w_K": 0, "S": 0, "E_lack": 0,
    "delta": 2, "W": 3, "N": 0, "v": sp.Rational(2000, 1001),
}  # fmt: skip

derivations.add(
    Derivation(
        id="ssam/stability-floor",
        title="SAM's two runs stay apart, however many examples there are (B6)",
        claims=("ssam/stability-floor",),
        given=FLOOR,
        steps=FLOOR_STEPS,
        conclusion="floor",
        meets=(
            Meets("r", turn * rho / (2 - turn), lambda point: cycle_radius(facts_at(point)), FLOOR_POINTS),
            Meets("floor", 2 * r * (1 - qT) - 2 * c / (n * (1 - w)), _floor, FLOOR_POINTS),
        ),
        twins=(
            Twin(
                "a floor 1.5 times as high",
                "floor",
                replace(FLOOR_STEPS[-1], left=sp.Rational(3, 2) * (2 * r * (1 - qT) - 2 * c / n * v)),
                # many examples, long after: the runs are 2 r apart and no more
                counterexample=ON_THE_CYCLE,
            ),
            Twin("steps of any length", "a length", without=("short step",)),
        ),
        remarks=(
            "That the runs are mirror images (x_t' = -x_t from the first draw of the changed example on) is symmetry: "
            "the step on -z from -x is minus the step on z from x. Before that draw both rest at 0, where SAM does.",
            "At x = 0 SAM rests: z at which that happens after a draw are excluded (countably many).",
        ),
        covers="the contraction towards the 2-cycle after the last draw, and the floor for every T and n by induction "
        "over the geometric sum",
        latex_names={"tau": r"\gamma h", "N": "|x_{t+1}|", "W": "|x_t|", "Z": "|z|", "delta": r"E|x_T-x_T'|",
                     "E_lack": r"E(2r-|x_T-x_T'|)_+", "q_T": "q^T", "w_K": "w^K", "S": "S_K"},
    )
)  # fmt: skip

# -- the upper bound for SAM --

L, gamma = sp.symbols("L gamma", positive=True)
factor, D, same, changed, before, after, p_one, p_two = sp.symbols(
    "c D d_same d_changed d d_next p p_prime", nonnegative=True
)
limit = sp.Symbol("B", nonnegative=True)

UPPER = (
    Given("moved, first run", L * rho - p_one, ">=", "standard", "||grad f_z(x + rho u) - grad f_z(x)|| <= L rho"),
    Given("moved, second run", L * rho - p_two, ">=", "standard", "the same at x'"),
    Given(
        "same example",
        factor * before + gamma * (p_one + p_two) - same,
        ">=",
        "standard",
        "triangle inequality; a gradient step on one loss is a contraction with c = max(|1 - gamma mu|, |1 - gamma L|)",
    ),
    Given(
        "changed example",
        factor * before + gamma * (p_one + p_two) + gamma * D - changed,
        ">=",
        "standard",
        "the same, with D = sup ||grad f_z - grad f_z'||",
    ),
    Given("drawn", after - (1 - 1 / n) * same - changed / n, "=", "definition", "the changed one has probability 1/n"),
    Given("more than one example", n - 1, ">=", "hypothesis", "n >= 1"),
    Given("limit", limit * (1 - factor) - gamma * D / n - 2 * gamma * L * rho, "=", "definition", "the bound B"),
    Given(
        "bound at t",
        limit - before,
        ">=",
        "induction",
        "induction over t: at t = 0 the runs are equal",
        Induction("bound at t + 1", next={before: after}, start={before: 0}),
    ),
)
UPPER_STEPS = (
    Step(
        "one step",
        after,
        "<=",
        factor * before + 2 * gamma * L * rho + gamma * D / n,
        by=(
            (gamma, "moved, first run"),
            (gamma, "moved, second run"),
            ((1 / n), "more than one example", "same example"),
            (1 / n, "changed example"),
            (-1, "drawn"),
        ),
    ),
    Step(
        "bound at t + 1",
        after,
        "<=",
        limit,
        by=(("one step",), (factor, "bound at t"), ("limit",)),
        why="for all t, as B = (gamma D/n + 2 gamma L rho)/(1 - c)",
    ),
)


def _stated(claim_id: str, point: Mapping[str, float]) -> float:
    """The bound of a claim on squared losses on the line, one example at z or -z."""
    claim = claims[claim_id]
    spec = outlier(int(point["n"]), z=float(point["Z"]))
    setting = given(
        claim, spec, "uniform", gamma=float(point["gamma"]), rho=float(point["rho"]), x0="0", steps=10
    ).setting
    return float(claim.trials["coupled runs"](setting, facts_of(setting), 10, Still()).stated({})[0])


# mu = L = 1, gradients x - z and x + z: D = 2 |z|
LINE_POINTS = [
    {"n": k, "Z": z, "gamma": g, "rho": s, "L": 1.0, "mu": 1.0, "D": 2 * z, "c": 1 - g}
    for k, z, g, s in ((8, 0.5, 0.3, 0.2), (16, 0.25, 0.4, 0.7), (64, 1.0, 0.15, 0.05))
]

derivations.add(
    Derivation(
        id="ssam/stability-upper",
        title="SAM's two runs on strongly convex losses: a 1/n part and a part of the radius (B6)",
        claims=("ssam/stability-upper",),
        given=UPPER,
        steps=UPPER_STEPS,
        conclusion="bound at t + 1",
        meets=(
            Meets(
                "bound",
                (gamma * D / n + 2 * gamma * L * rho) / (1 - factor),
                lambda point: _stated("ssam/stability-upper", point),
                LINE_POINTS,
            ),
        ),
        twins=(
            Twin(
                "the 1/n part alone, as if SAM were as stable as SGD",
                "one step",
                replace(UPPER_STEPS[0], right=factor * before + gamma * D / n),
                # both ascents lead apart by rho, and D = 0
                counterexample={
                    "p": 1, "p_prime": 1, "L": 1, "rho": 1, "gamma": 1, "D": 0, "c": 0, "d": 0, "d_same": 2,
                    "d_changed": 2, "d_next": 2, "n": 2, "B": 2,
                },
            ),
            Twin("runs from different starts", "bound at t + 1", without=("bound at t",)),
        ),
        remarks=("c < 1 makes B finite; rho = 0 is SGD. n = 1 is allowed: then every draw is the changed example.",),
        covers="the recursion in expectation over the draw and its fixed point, for all t",
        latex_names={"d_same": r"\delta_{=}", "d_changed": r"\delta_{\neq}", "d": r"\delta_t",
                     "d_next": r"\delta_{t+1}"},
    )
)  # fmt: skip

# -- unnormalised SAM on quadratic losses --

m, M, mu = sp.symbols("m M mu", positive=True)
D_a, L_a, g_z, g_other = sp.symbols("D_a L_a a_z a_other", nonnegative=True)

USAM = (
    Given("step range", 2 - gamma * (m + M), ">=", "hypothesis", "gamma <= 2/(m + M)"),
    Given("m at most M", M - m, ">=", "standard", "m = mu (1 + rho mu), M = L (1 + rho L)"),
    Given(
        "same example",
        (1 - gamma * m) * before - same,
        ">=",
        "lemma",
        "the root of ssam/usam-quadratic-factor, summed over the coordinates of the difference, in expectation",
        lemma=Lemma(
            "ssam/usam-quadratic-factor", "one coordinate", granted={"step range": "the same: m = mu (1 + rho mu) ..."}
        ),
    ),
    Given(
        "changed example",
        (1 - gamma * m) * before + gamma * D_a - changed,
        ">=",
        "standard",
        "triangle inequality: the changed loss's gradients at the perturbed points differ by D_a more",
    ),
    Given("drawn", after - (1 - 1 / n) * same - changed / n, "=", "definition", "the changed one has probability 1/n"),
    Given("more than one example", n - 1, ">=", "hypothesis", "n >= 1"),
    Given(
        "bound at t",
        D_a / (n * m) - before,
        ">=",
        "induction",
        "induction over t: at t = 0 the runs are equal",
        Induction("bound at t + 1", next={before: after}, start={before: 0}),
    ),
    Given("gradients", g_z + g_other - D_a, ">=", "standard", "triangle inequality"),
    Given("largest, z", L_a - g_z, ">=", "definition", "L_a = sup ||grad f_z(x + rho grad f_z(x))||"),
    Given("largest, z'", L_a - g_other, ">=", "definition", "the same for the neighbour's example"),
)
USAM_STEPS = (
    Step(
        "factor",
        0,
        "<=",
        1 - gamma * m,
        by=((sp.Rational(1, 2), "step range"), (gamma / 2, "m at most M")),
    ),
    Step(
        "one step",
        after,
        "<=",
        (1 - gamma * m) * before + gamma * D_a / n,
        by=((1 / n, "more than one example", "same example"), (1 / n, "changed example"), (-1, "drawn")),
    ),
    Step(
        "bound at t + 1",
        after,
        "<=",
        D_a / (n * m),
        by=(("one step",), ("factor", "bound at t")),
    ),
    Step(
        "by the gradients",
        after,
        "<=",
        2 * L_a / (n * m),
        by=(
            ("bound at t + 1",),
            (1 / (n * m), "gradients"),
            (1 / (n * m), "largest, z"),
            (1 / (n * m), "largest, z'"),
        ),
    ),
)

derivations.add(
    Derivation(
        id="ssam/usam-stability",
        title="Unnormalised SAM on strongly convex quadratic losses is uniformly stable (B7)",
        claims=("ssam/usam-stability",),
        given=USAM,
        steps=USAM_STEPS,
        conclusion="bound at t + 1",
        meets=(
            Meets(
                "bound",
                (D_a / (n * m)).subs({D_a: (1 + rho * L) * D, m: mu * (1 + rho * mu)}),
                lambda point: _stated("ssam/usam-stability", point),
                LINE_POINTS,
            ),
        ),
        twins=(
            Twin(
                "half the bound",
                "bound at t + 1",
                replace(USAM_STEPS[2], right=D_a / (2 * n * m)),
                # one example: the fixed point
                counterexample={
                    "gamma": sp.Rational(1, 2), "m": 1, "M": 1, "n": 1, "d": 1, "d_same": 0, "d_changed": 1,
                    "d_next": 1, "D_a": 1, "L_a": 1, "a_z": 1, "a_other": 1,
                },
            ),
            Twin("every step size", "factor", without=("step range",)),
        ),
        remarks=("Attained on the line. Times the Lipschitz constant of the loss it bounds uniform stability.",),
        covers="the recursion in expectation over the draw and its fixed point, for all t; the factor 1 - gamma m is "
        "ssam/usam-quadratic-factor",
        latex_names={"d_same": r"\delta_{=}", "d_changed": r"\delta_{\neq}", "d": r"\delta_t",
                     "d_next": r"\delta_{t+1}",
                     "D_a": "D_a", "L_a": "L_a", "a_z": r"\|g_{a,z}\|", "a_other": r"\|g_{a,z'}\|"},
    )
)  # fmt: skip
