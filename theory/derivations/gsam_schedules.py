"""What steps, squared steps and reciprocal batch sizes sum to under the usual schedules (corollaries of A1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from theory.claims.gsam_schedules import averaged, doubling_epochs, doubling_steps, textbook
from theory.derivation import Derivation, Given, Limit, Meets, Step, Twin, derivations
from theory.derivations.gsam_lab import StandingLab, setting_at
from theory.schedules import Schedule, constant, cosine, doubling, doubling_epoch, linear, polynomial
from theory.trial import Measuring, Trial

CLAIM = ("gsam/schedule-sums",)
m, T, start = sp.symbols("m T gamma_0", positive=True)
third, half = sp.Rational(1, 3), sp.Rational(1, 2)


def _trial(trial: Measuring, schedule: Schedule, steps: int) -> Trial:
    """A trial of the claim, which reads no more of a setting than its gamma."""
    setting, facts = setting_at("spectrum:h=1", [1.0], {})
    return trial(setting, facts.with_steps(gamma=schedule, rho=0.0), steps, StandingLab())


# -- cosine --

A, B = sp.symbols("A B", nonnegative=True)
psi, phi = sp.symbols("psi phi", positive=True)  # half the angle of a step, pi/(2 T); the angle m pi/T of step m


def waves(end: sp.Expr | int, half_angle: sp.Expr) -> sp.Expr:
    """The sum of the cosines of 0, 2 psi, 4 psi, ... below the angle `end`; sin(psi) is not 0."""
    return half + sp.sin(end - half_angle) / (2 * sp.sin(half_angle))


def cosine_sum(count: sp.Expr | int, end: sp.Expr | int, half_angle: sp.Expr) -> sp.Expr:
    return count * (A + B) + B * waves(end, half_angle)


def cosine_squares(count: sp.Expr | int, end: sp.Expr | int, half_angle: sp.Expr) -> sp.Expr:
    """cos^2 = (1 + cos of twice the angle)/2."""
    swing = B**2 * (count + waves(2 * end, 2 * half_angle)) / 2
    return count * (A + B) ** 2 + 2 * B * (A + B) * waves(end, half_angle) + swing


VALUE = A + B + B * sp.cos(phi)
WHOLE = T * (A + B) ** 2 + 2 * B * (A + B) + T * B**2 / 2
COSINE = (
    Step("no step", cosine_sum(0, 0, psi), "=", 0, why="base of the induction for sum gamma_t"),
    Step("no step, squares", cosine_squares(0, 0, psi), "=", 0),
    Step(
        "one step on",
        cosine_sum(m, phi, psi) + VALUE,
        "=",
        cosine_sum(m + 1, phi + 2 * psi, psi),
        why="2 cos(phi) sin(psi) = sin(phi + psi) - sin(phi - psi)",
    ),
    Step(
        "one step on, squares",
        cosine_squares(m, phi, psi) + VALUE**2,
        "=",
        cosine_squares(m + 1, phi + 2 * psi, psi),
        why="and cos(phi)^2 = (1 + cos(2 phi))/2",
    ),
    Step(
        "sum",
        cosine_sum(T, sp.pi, sp.pi / (2 * T)),
        "=",
        T * (A + B) + B,
        why="sin(pi - psi) = sin(psi)",
    ),
    Step(
        "sum of squares",
        cosine_squares(T, sp.pi, sp.pi / (2 * T)),
        "=",
        WHOLE,
        why="T >= 2, so that sin(2 psi) is not 0; sin(2 pi - 2 psi) = -sin(2 psi)",
    ),
    Step("T = 1", VALUE.subs(phi, 0) ** 2, "=", (A + 2 * B) ** 2, why="the one step is gamma_max = A + 2 B"),
    Step(
        "averaged noise",
        WHOLE.subs(A, 0) - sp.Rational(3, 4) * 2 * B * (T * B + B),
        "=",
        2 * B * (T * B + B) / (4 * (T + 1)),
        why="for gamma_min = 0 the mean is gamma_max (3/4 + 1/(4 (T + 1)))",
    ),
    Limit("averaged noise in the limit", sp.Rational(3, 4) + 1 / (4 * (T + 1)), T, sp.oo, sp.Rational(3, 4)),
)
COSINE_POINTS = [
    {"A": a, "B": b, "T": float(steps), "m": float(first), "phi": math.pi * first / steps, "psi": math.pi / 2 / steps}
    for a, b, steps, first in ((0.0, 0.1, 2, 1), (0.01, 0.3, 7, 4), (0.2, 0.05, 50, 50), (0.5, 0.0, 13, 6))
]


def _cosine(point: Mapping[str, float]) -> Schedule:
    return cosine(point["A"] + 2 * point["B"], point["A"], int(point["T"]))


def _cosine_part(point: Mapping[str, float]) -> float:
    return _cosine(point).sum(int(point["m"]))


def _cosine_part_squares(point: Mapping[str, float]) -> float:
    return _cosine(point).sum(int(point["m"]), power=2)


def _cosine_whole(point: Mapping[str, float]) -> float:
    return textbook(_cosine(point).name, int(point["T"]))[0]


def _cosine_whole_squares(point: Mapping[str, float]) -> float:
    return textbook(_cosine(point).name, int(point["T"]))[1]


def _cosine_one(point: Mapping[str, float]) -> float:
    return textbook(cosine(point["A"] + 2 * point["B"], point["A"], 1).name, 1)[1]


derivations.add(
    Derivation(
        id="gsam/cosine-sums",
        title="The sums of a cosine schedule and of its squares",
        claims=CLAIM,
        given=(
            Given("half an angle", sp.sin(psi), ">", "definition", "psi = pi/(2 T) is at most pi/2"),
            Given("an angle", sp.sin(2 * psi), ">", "hypothesis", "2 psi = pi/T is below pi: T >= 2, for the squares"),
        ),
        steps=COSINE,
        conclusion="sum of squares",
        meets=(
            Meets("sum over t < m", cosine_sum(m, phi, psi), _cosine_part, COSINE_POINTS),
            Meets("squares over t < m", cosine_squares(m, phi, psi), _cosine_part_squares, COSINE_POINTS),
            Meets("sum", T * (A + B) + B, _cosine_whole, COSINE_POINTS),
            Meets("sum of squares", WHOLE, _cosine_whole_squares, COSINE_POINTS),
            Meets("T = 1", (A + 2 * B) ** 2, _cosine_one, COSINE_POINTS),
        ),
        twins=(
            Twin(
                "as if the mean were (start + end)/2",
                "sum",
                replace(COSINE[4], right=T * (A + B)),
                counterexample={"A": 0, "B": 1, "T": 3, "psi": sp.pi / 6},
            ),
            Twin(
                "the squares of T >= 2 at T = 1",
                "T = 1",
                replace(COSINE[6], right=WHOLE.subs(T, 1)),
                counterexample={"A": 0, "B": 1, "psi": sp.pi / 6},
            ),
            Twin(
                "an averaged noise that goes to one half",
                "averaged noise in the limit",
                Limit("averaged noise in the limit", sp.Rational(3, 4) + 1 / (4 * (T + 1)), T, sp.oo, half),
            ),
        ),
        remarks=("gamma_t = A + B (1 + cos(pi t/T)), A = gamma_min, B = (gamma_max - gamma_min)/2; B = 0 included.",),
        covers="both sums over any part of the half wave and over the whole, T = 1 included, and the limit 3/4",
        latex_names={"psi": r"\psi", "phi": r"\varphi"},
    )
)

# -- constant and linear --


def linear_sum(count: sp.Expr | int) -> sp.Expr:
    return start * (count - count * (count - 1) / (2 * T))


def linear_squares(count: sp.Expr | int) -> sp.Expr:
    return start**2 * (count - count * (count - 1) / T + count * (count - 1) * (2 * count - 1) / (6 * T**2))


SQUARES = start**2 * (T + 1) * (2 * T + 1) / (6 * T)
LINEAR = (
    Step("no step", linear_sum(0), "=", 0, why="base of the induction"),
    Step("no step, squares", linear_squares(0), "=", 0),
    Step("one step on", linear_sum(m) + start * (1 - m / T), "=", linear_sum(m + 1)),
    Step("one step on, squares", linear_squares(m) + start**2 * (1 - m / T) ** 2, "=", linear_squares(m + 1)),
    Step("sum", linear_sum(T), "=", start * (T + 1) / 2),
    Step("sum of squares", linear_squares(T), "=", SQUARES),
    Step(
        "averaged noise",
        SQUARES / (start * start * (T + 1) / 2),
        "=",
        2 * third + third / T,
    ),
    Limit("averaged noise in the limit", 2 * third + third / T, T, sp.oo, 2 * third),
    Step("constant, one step on", m * start + start, "=", (m + 1) * start, why="constant: T gamma and T gamma^2"),
    Step("constant, averaged noise", T * start**2, "=", start * (T * start), why="the ratio is 1 at every T"),
)
LINEAR_POINTS = [
    {"gamma_0": value, "T": float(steps), "m": float(first)}
    for value, steps, first in ((0.1, 1, 1), (0.3, 2, 1), (0.7, 9, 5), (1.5, 40, 40))
]


def _linear(point: Mapping[str, float]) -> Schedule:
    return linear(point["gamma_0"], int(point["T"]))


def _linear_part(point: Mapping[str, float]) -> float:
    return _linear(point).sum(int(point["m"]))


def _linear_part_squares(point: Mapping[str, float]) -> float:
    return _linear(point).sum(int(point["m"]), power=2)


def _linear_whole(point: Mapping[str, float]) -> float:
    return textbook(_linear(point).name, int(point["T"]))[0]


def _linear_whole_squares(point: Mapping[str, float]) -> float:
    return textbook(_linear(point).name, int(point["T"]))[1]


def _constant_squares(point: Mapping[str, float]) -> float:
    return constant(point["gamma_0"]).sum(int(point["T"]), power=2)


derivations.add(
    Derivation(
        id="gsam/linear-sums",
        title="The sums of a linear schedule and of a constant one, and of their squares",
        claims=CLAIM,
        given=(),
        steps=LINEAR,
        conclusion="sum of squares",
        meets=(
            Meets("sum over t < m", linear_sum(m), _linear_part, LINEAR_POINTS),
            Meets("squares over t < m", linear_squares(m), _linear_part_squares, LINEAR_POINTS),
            Meets("sum", start * (T + 1) / 2, _linear_whole, LINEAR_POINTS),
            Meets("sum of squares", SQUARES, _linear_whole_squares, LINEAR_POINTS),
            Meets("constant, squares", T * start**2, _constant_squares, LINEAR_POINTS),
        ),
        twins=(
            Twin(
                "the last step 0 left out of the count: T/2",
                "sum",
                replace(LINEAR[4], right=start * T / 2),
                counterexample={"gamma_0": 1, "T": 2},
            ),
            Twin(
                "a third of T",
                "sum of squares",
                replace(LINEAR[5], right=start**2 * T / 3),
                counterexample={"gamma_0": 1, "T": 2},
            ),
        ),
        covers="both sums over any part of the schedule and over the whole, and the limits 2/3 and 1",
        latex_names={"gamma_0": r"\gamma_0"},
    )
)

# -- powers --

power = sp.Symbol("p", positive=True)
S_1, S_2 = sp.symbols("S_1 S_2", positive=True)  # sums of (j/T)^p and (j/T)^(2p) over j = 1, ..., T
limit, spread = (power + 1) / (2 * power + 1), (power + 1) / T
INTEGRAL = "a sum over j = 1, ..., T of a rising function of j/T lies between T times its integral and that plus 1"
POWER = (
    Step(
        "values from above",
        S_2,
        "<=",
        (limit + spread) * S_1,
        by=(("squares, above",), (limit + spread, "values, below")),
    ),
    Step(
        "values from below",
        (limit - spread) * S_1,
        "<=",
        S_2,
        by=(
            ("squares, below",),
            (limit, "values, above"),
            (spread, "values, below"),
            (power / (2 * power + 1),),
        ),
    ),
    Step("ratio from above", S_2 / S_1, "<=", limit + spread, by=((1 / S_1, "values from above"),)),
    Step("ratio from below", limit - spread, "<=", S_2 / S_1, by=((1 / S_1, "values from below"),)),
    Limit("distance in the limit", spread, T, sp.oo, 0),
)
POWER_POINTS = [{"p": p, "T": steps} for p, steps in ((0.5, 10.0), (1.0, 200.0), (2.0, 7.0), (3.5, 100.0))]


def _averaged(point: Mapping[str, float]) -> Trial:
    return _trial(averaged, polynomial(0.3, point["p"], int(point["T"])), 1)


def _averaged_limit(point: Mapping[str, float]) -> float:
    return float(_averaged(point).stated({})[0])


def _averaged_spread(point: Mapping[str, float]) -> float:
    return float(_averaged(point).error[0])


derivations.add(
    Derivation(
        id="gsam/power-average",
        title="What steps that fall like a power leave of the averaged noise",
        claims=CLAIM,
        given=(
            Given("values, below", S_1 - T / (power + 1), ">=", "standard", INTEGRAL),
            Given("values, above", T / (power + 1) + 1 - S_1, ">=", "standard", INTEGRAL),
            Given("squares, below", S_2 - T / (2 * power + 1), ">=", "standard", INTEGRAL),
            Given("squares, above", T / (2 * power + 1) + 1 - S_2, ">=", "standard", INTEGRAL),
        ),
        steps=POWER,
        conclusion="ratio from above",
        meets=(
            Meets("limit", limit, _averaged_limit, POWER_POINTS),
            Meets("distance", spread, _averaged_spread, POWER_POINTS),
        ),
        twins=(
            Twin(
                "the limit (p + 1)/(2 p + 1) from T = 1 on",
                "ratio from above",
                replace(POWER[2], right=limit),
                # p = 1 and T = 1: the only value is 1
                counterexample={"p": 1, "T": 1, "S_1": 1, "S_2": 1},
            ),
            Twin("a limit 1/2", "ratio from above", replace(POWER[2], right=half + spread)),
        ),
        remarks=("gamma_t = gamma_0 (1 - t/T)^p with any p > 0: sum gamma_t^2/(gamma_0 sum gamma_t) = S_2/S_1.",),
        covers="the ratio at every T within (p + 1)/T of (p + 1)/(2 p + 1), hence the limit; p = 1 is linear",
    )
)

# -- batches --

E, b0, n = sp.symbols("E b_0 n", positive=True)
h = sp.Symbol("h", positive=True)  # 2^-q after q whole stages
rest = sp.Symbol("r", nonnegative=True)  # steps taken of the next one

stages = E / b0 * (2 - 2 * h)
BY_STEPS = (
    Step("no stage", stages.subs(h, 1), "=", 0, why="base of the induction over whole stages"),
    Step(
        "one stage on",
        stages + E * h / b0,
        "=",
        stages.subs(h, h / 2),
        why="stage q has E steps with a batch of b_0 2^q",
    ),
    Step(
        "sum",
        stages + rest * h / b0,
        "<",
        2 * E / b0,
        by=((h / b0, "part of a stage"), (E * h / b0,)),
        why="after q whole stages and r more steps",
    ),
)
STEP_POINTS = [
    {"E": E_, "b_0": b, "q": float(q), "r": r_, "h": 2.0**-q}
    for E_, b, q, r_ in ((3.0, 4.0, 0, 2.0), (10.0, 4.0, 3, 0.0), (7.0, 4.0, 5, 7.0), (2.0, 4.0, 9, 1.0))
]


def _doubling_sum(point: Mapping[str, float]) -> float:
    steps = int(point["q"] * point["E"] + point["r"])
    return doubling(int(point["b_0"]), int(point["E"])).sum(steps, power=-1)


def _doubling_bound(point: Mapping[str, float]) -> float:
    return float(_trial(doubling_steps, constant(0.1), int(point["E"])).stated({})[0])


derivations.add(
    Derivation(
        id="gsam/doubling-steps",
        title="A batch that doubles every E steps: the reciprocals sum to less than 2 E/b_0",
        claims=CLAIM,
        given=(Given("part of a stage", E - rest, ">=", "definition", "r <= E"),),
        steps=BY_STEPS,
        conclusion="sum",
        meets=(
            Meets("sum of 1/b_t", stages + rest * h / b0, _doubling_sum, STEP_POINTS),
            Meets("bound", 2 * E / b0, _doubling_bound, STEP_POINTS),
        ),
        twins=(
            Twin(
                "E/b_0",
                "sum",
                replace(BY_STEPS[2], right=E / b0),
                counterexample={"E": 2, "b_0": 1, "h": sp.Rational(1, 4), "r": 0},
            ),
            Twin(
                "a stage of any length",
                "sum",
                without=("part of a stage",),
                counterexample={"E": 1, "b_0": 1, "h": 1, "r": 3},
            ),
        ),
        covers="sum 1/b_t over any number of steps, for a batch without a cap",
    )
)

steps_taken = 2 * E * n / b0 * (1 - h)
reciprocals = E * n / b0**2 * sp.Rational(4, 3) * (1 - h**2)
mean = 2 * third * (1 + h) / b0
BY_EPOCHS = (
    Step("no stage", steps_taken.subs(h, 1), "=", 0, why="base of the induction over whole stages"),
    Step("no stage, reciprocals", reciprocals.subs(h, 1), "=", 0),
    Step(
        "one stage on",
        steps_taken + E * n * h / b0,
        "=",
        steps_taken.subs(h, h / 2),
        why="stage q has E n/b steps with a batch of b = b_0 2^q: shorter stages as the batch grows",
    ),
    Step("one stage on, reciprocals", reciprocals + E * n * h / b0 * h / b0, "=", reciprocals.subs(h, h / 2)),
    Step("steps in all", steps_taken, "<", 2 * E * n / b0, by=((2 * E * n * h / b0,),)),
    Step("mean", reciprocals, "=", mean * steps_taken, why="the mean of 1/b_t over q whole stages"),
    Step("never below", 2 * third / b0, "<", mean, by=((2 * third * h / b0,),)),
    Limit("in the limit", mean, h, 0, 2 * third / b0),
)
EPOCH_POINTS = [
    {"E": E_, "b_0": 8.0, "n": 2.0**14, "q": float(q), "h": 2.0**-q}
    for E_, q in ((1.0, 1), (1.0, 4), (1.0, 9), (3.0, 5))
]


def _epoch_sum(point: Mapping[str, float]) -> float:
    schedule = doubling_epoch(int(point["b_0"]), int(point["E"]), int(point["n"]))
    return schedule.sum(_epoch_steps(point), power=-1)


def _epoch_steps(point: Mapping[str, float]) -> int:
    """Where the q-th stage ends, as the schedule has it."""
    schedule = doubling_epoch(int(point["b_0"]), int(point["E"]), int(point["n"]))
    assert schedule.breaks is not None
    return schedule.breaks[int(point["q"]) - 1]


def _epoch_mean(point: Mapping[str, float]) -> float:
    return float(_trial(doubling_epochs, constant(0.1), 1).stated({})[int(point["q"]) - 1])


derivations.add(
    Derivation(
        id="gsam/doubling-epochs",
        title="A batch that doubles every E epochs leaves two thirds of the averaged noise",
        claims=CLAIM,
        given=(),
        steps=BY_EPOCHS,
        conclusion="mean",
        meets=(
            Meets("steps", steps_taken, _epoch_steps, EPOCH_POINTS),
            Meets("sum of 1/b_t", reciprocals, _epoch_sum, EPOCH_POINTS),
            Meets("mean of 1/b_t", mean, _epoch_mean, EPOCH_POINTS),
        ),
        twins=(
            Twin(
                "stages of as many steps each",
                "one stage on",
                replace(BY_EPOCHS[2], left=steps_taken + E * n / b0),
                counterexample={"E": 1, "b_0": 1, "n": 4, "h": half},
            ),
            Twin(
                "half of the mean in the limit",
                "in the limit",
                Limit("in the limit", mean, h, 0, third / b0),
            ),
        ),
        remarks=("b_0 2^q divides n; otherwise a stage has ceil(n/b) steps per epoch.",),
        covers="steps, sum and mean over whole stages, and the limit 2/(3 b_0)",
    )
)
