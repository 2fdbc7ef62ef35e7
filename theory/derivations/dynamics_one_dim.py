"""SAM on a parabola: its iterates in closed form, and the time at which it first crosses the minimiser (A5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.dynamics_one_dim import closed_form, first_turn
from theory.derivation import Derivation, Given, Induction, Limit, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.setting import Facts

a, rho, w0 = sp.symbols("a rho w_0", positive=True)  # a = gamma lambda
p = sp.Symbol("p", real=True)  # the power of the closed form at t: its base to the t
v, v0 = sp.symbols("v v_0", nonnegative=True)  # |w_t| and |w_0| on the alternating part
w = sp.Symbol("w", positive=True)  # w_t before the turn
r = sp.Symbol("r", positive=True)  # the radius a rho/(2 - a)


def _facts(point: Mapping[str, float]) -> Facts:
    """lambda = 1, gamma = a."""
    return facts_at({**point, "gamma": point["a"]}, spectrum=(1.0,), grad_norm2_0=point["w_0"] ** 2)


def _iterate(t: int, point: Mapping[str, float]) -> float:
    """w_t of the code; all times up to t are given to it, as it reads the turn off them."""
    return float(closed_form(_facts(point), np.arange(t + 1.0))[-1])


def _points(stiffness: tuple[float, ...], seed: int) -> list[Mapping[str, float]]:
    rng = np.random.default_rng(seed)
    found: list[Mapping[str, float]] = []
    for value in stiffness:
        point = {"a": value, "rho": float(rng.uniform(0.1, 1)), "w_0": float(rng.uniform(0.5, 4))}
        point |= {"r": value * point["rho"] / (2 - value)} if value < 2 else {}
        found.append(point)
    return found


# -- a < 1: straight to the minimiser, then from side to side --

GENTLE = (
    Given("a < 1", 1 - a, ">", "hypothesis", "a = gamma lambda < 1"),
    Given("radius", r * (2 - a) - a * rho, "=", "definition", "r = a rho/(2 - a)"),
    Given("turn", a * rho - (1 - a) * w, ">=", "definition", "w is the last iterate that is positive"),
    Given(
        "small",
        a * rho - v,
        ">=",
        "induction",
        "|w_t| <= a rho, by induction: `at the turn`, then `stays small`",
        Induction("stays small", next={v: a * rho - (1 - a) * v}, start={v: a * rho - (1 - a) * w}, base="at the turn"),
    ),
)
BEFORE = Step(
    "before the turn",
    (1 - a) * (p * (w0 + rho) - rho) - a * rho,
    "=",
    (1 - a) * p * (w0 + rho) - rho,
    why="w_t = p (w_0 + rho) - rho with p = (1 - a)^t; while w_t > 0 the next has 1 - a times that p",
)
DEVIATION = Step(
    "after the turn",
    a * rho - (1 - a) * v - r,
    "=",
    (a - 1) * (v - r),
    by=((1, "radius"),),
    why="|w_{t+1}| = a rho - (1 - a) |w_t|, on the other side",
)
GENTLE_STEPS = (
    BEFORE,
    Step("turned", 0, "<=", a * rho - (1 - a) * w, by=(("turn",),), why="|w_{t+1}| = a rho - (1 - a) w_t there"),
    Step(
        "at the turn",
        a * rho - (1 - a) * w,
        "<=",
        a * rho,
        by=(("a < 1", w),),
        why="w_t > 0 >= w_{t+1} = (1 - a) w_t - a rho: the first iterate on the other side has |w| <= a rho",
    ),
    Step(
        "other side",
        0,
        "<",
        a * rho - (1 - a) * v,
        by=(("a < 1", "small"), (a**2 * rho,)),
        why="from w_t = -v the next iterate is a rho - (1 - a) v > 0: sides alternate",
    ),
    Step("stays small", a * rho - (1 - a) * v, "<=", a * rho, by=(("a < 1", v),)),
    DEVIATION,
)
NEAR = {"a": sp.Rational(1, 2), "rho": 3, "r": 1, "w_0": 1, "p": 1, "w": 1, "v": sp.Rational(1, 2)}


def _signed_after(point: Mapping[str, float]) -> float:
    """|w_{t_1 + 1}|, one step after the turn."""
    return abs(_iterate(first_turn(_facts(point)) + 1, point))


def _at_turn(point: Mapping[str, float]) -> dict[str, float]:
    return dict(point) | {"v": abs(_iterate(first_turn(_facts(point)), point))}


def _third(point: Mapping[str, float]) -> float:
    """w_3 of the code, at points where the turn comes later."""
    return _iterate(3, point)


LATE: list[Mapping[str, float]] = [
    {**point, "w_0": 4.0, "p": (1 - point["a"]) ** 3} for point in _points((0.05, 0.1, 0.2, 0.3), 3)
]

derivations.add(
    Derivation(
        id="dynamics/one-dim",
        title="SAM on a parabola with gamma lambda < 1: every iterate (A5)",
        claims=("dynamics/one-dim",),
        given=GENTLE,
        steps=GENTLE_STEPS,
        conclusion="after the turn",
        meets=(
            Meets("w_3 before the turn", p * (w0 + rho) - rho, _third, LATE),
            Meets("|w| after the turn", r + (a - 1) * (v - r), _signed_after, [_at_turn(point) for point in LATE]),
        ),
        twins=(
            Twin(
                "no turning back: factor 1 - a",
                "after the turn",
                replace(DEVIATION, right=(1 - a) * (v - r)),
                counterexample=NEAR,
            ),
            Twin("any size of |w_t|", "other side", without=("small",), counterexample=NEAR | {"v": 4}),
            Twin("a beyond 1", "at the turn", without=("a < 1",)),
        ),
        remarks=("an iterate exactly 0 is excluded by the claim: there the next step is undefined",),
        covers="a < 1: the formula before the turn and after it, by induction, and the alternating signs; the "
        "time of the turn is dynamics/one-dim-turn, a >= 1 is dynamics/one-dim-overshoot",
        latex_names={"p": "(1-a)^t", "v": "|w_t|", "w": "w_t"},
    )
)

# -- the time of the turn --

k = sp.Symbol("k", positive=True)  # -ln(1 - a)
delta = sp.Symbol("delta", real=True)  # the real time of crossing, less t
E = sp.Symbol("E", positive=True)  # exp(k delta)
crossing = sp.log(1 + w0 / rho) / k

TURN_GIVEN = (
    Given("exponential", E - 1 - k * delta, ">=", "standard", "exp(z) >= 1 + z at z = k delta"),
    Given("exponential, backwards", 1 / E - 1 + k * delta, ">=", "standard", "exp(z) >= 1 + z at z = -k delta"),
)
EARLIER = Step(
    "positive before",
    rho * k * delta,
    "<=",
    rho * (E - 1),
    by=((rho, "exponential"),),
    why="w_t > 0 for delta > 0, that is t < ln(1 + w_0/rho)/(-ln(1 - a))",
)
TURN_STEPS = (
    Step(
        "formula at t",
        sp.exp(-k * (crossing - delta)) * (w0 + rho) - rho,
        "=",
        rho * (sp.exp(k * delta) - 1),
        why="w_t = (1 - a)^t (w_0 + rho) - rho at t = crossing - delta",
    ),
    EARLIER,
    Step(
        "not positive from then on",
        rho * (E - 1),
        "<=",
        rho * E * k * delta,
        by=((rho * E, "exponential, backwards"),),
        why="w_t <= 0 for delta <= 0: t_1 is the crossing time rounded up",
    ),
)


def _first_turn(point: Mapping[str, float]) -> float:
    return float(first_turn(_facts(point)))


derivations.add(
    Derivation(
        id="dynamics/one-dim-turn",
        title="SAM on a parabola: the time at which it first crosses the minimiser (A5)",
        claims=("dynamics/one-dim",),
        given=TURN_GIVEN,
        steps=TURN_STEPS,
        conclusion="not positive from then on",
        meets=(
            Meets(
                "t_1",
                sp.ceiling(sp.log(1 + w0 / rho) / -sp.log(1 - a)),
                _first_turn,
                _points((0.02, 0.1, 0.3, 0.7, 0.9), 4),
            ),
        ),
        twins=(
            Twin(
                "positive for ever",
                "not positive from then on",
                replace(TURN_STEPS[-1], left=0, right=rho * (E - 1)),
                # one unit of time late, with (1 - a) = 1/2 as seen through 0.7 >= ln 2
                counterexample={
                    "rho": 1,
                    "k": sp.Rational(7, 10),
                    "delta": -1,
                    "E": sp.Rational(1, 2),
                },
            ),
            Twin("without exp(z) >= 1 + z", "positive before", without=("exponential",)),
        ),
        remarks=("k = -ln(1 - a) > 0; t_1 counts whole steps, so it is the crossing time rounded up",),
        covers="the defining inequality of t_1: w_t > 0 exactly before the crossing time, for w_0 > 0 and a < 1",
        latex_names={"E": r"e^{k\delta}", "delta": r"\delta"},
    )
)

# -- a >= 1: every step goes to the other side --

s, s_next = sp.symbols("s s_next", real=True)  # the geometric sum 1 + (a - 1) + ... of t terms; of t + 1
OVERSHOOT = (
    Given("a >= 1", a - 1, ">=", "hypothesis", "a = gamma lambda >= 1"),
    Given("sum", (a - 1) * s + 1 - s_next, "=", "definition", "s_t = 1 + (a - 1) + ... + (a - 1)^(t - 1)"),
)
CLOSED = Step(
    "closed form",
    (a - 1) * (p * v0 + a * rho * s) + a * rho,
    "=",
    (a - 1) * p * v0 + a * rho * s_next,
    by=((-a * rho, "sum"),),
    why="|w_t| = p |w_0| + a rho s_t with p = (a - 1)^t, by induction",
)
OVERSHOOT_STEPS = (
    Step(
        "other side",
        0,
        "<",
        (a - 1) * v + a * rho,
        by=(("a >= 1", v), (a * rho,)),
        why="w_{t+1} = -((a - 1) |w_t| + a rho) for w_t > 0: sides alternate from the start",
    ),
    CLOSED,
    Step(
        "around the radius",
        (2 - a) * ((a - 1) * v + a * rho) - a * rho,
        "=",
        (a - 1) * ((2 - a) * v - a * rho),
        why="times 2 - a: |w_{t+1}| - r = (a - 1)(|w_t| - r) for a != 2",
    ),
    Step(
        "a = 1", ((a - 1) * v + a * rho).subs(a, 1), "=", rho, why="on the cycle, whose radius is rho, after one step"
    ),
    Step("a = 2", ((a - 1) * v + a * rho).subs(a, 2), "=", v + 2 * rho, why="|w_t| = |w_0| + 2 rho t"),
    Step("beyond 2", v * (a - 1), "<=", (a - 1) * v + a * rho, by=((a * rho,),), why="at least (a - 1)^t |w_0|"),
    Limit(
        "sum at a = 2", ((a - 1) ** 3 - 1) / (a - 2), a, 2, 3, why="s_t = ((a - 1)^t - 1)/(a - 2) has no pole: t = 3"
    ),
)


def _sixth(point: Mapping[str, float]) -> float:
    """w_6 = +|w_6|."""
    return _iterate(6, point)


STIFF: list[Mapping[str, float]] = [
    {**point, "v_0": point["w_0"], "p": (point["a"] - 1) ** 6, "s": sum((point["a"] - 1) ** i for i in range(6))}
    for point in _points((1.0, 1.2, 1.9, 2.0, 2.3), 5)
]
SETTLED: list[Mapping[str, float]] = [point for point in STIFF if point["a"] < 2]

derivations.add(
    Derivation(
        id="dynamics/one-dim-overshoot",
        title="SAM on a parabola with gamma lambda >= 1: every iterate, at 1 and 2 too (A5)",
        claims=("dynamics/one-dim",),
        given=OVERSHOOT,
        steps=OVERSHOOT_STEPS,
        conclusion="closed form",
        meets=(
            Meets("w_6", p * v0 + a * rho * s, _sixth, STIFF),
            Meets("w_6 by the radius", r + p * (w0 - r), _sixth, SETTLED),
        ),
        twins=(
            Twin(
                "the perturbation forgotten: (a - 1)^t |w_0|",
                "closed form",
                replace(CLOSED, right=(a - 1) * p * v0),
                counterexample={"a": 2, "rho": 1, "p": 1, "v_0": 1, "s": 0, "s_next": 1},
            ),
            Twin(
                "a below 1: it need not change sides",
                "other side",
                without=("a >= 1",),
                counterexample={"a": sp.Rational(1, 2), "rho": 1, "v": 4, "s": 0, "s_next": 1},
            ),
        ),
        covers="a >= 1 with its special values: a = 1 (on the cycle after a step), a = 2 (linear growth), a > 2 "
        "(growth like (a - 1)^t)",
        latex_names={"p": "(a-1)^t", "v": "|w_t|", "v_0": "|w_0|", "s": "s_t", "s_next": "s_{t+1}"},
    )
)
