"""Trials are judged as they should be: each relation, expectations, orders, and what could not be measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.verify.case import Case
from experiments.verify.routes import Means, take
from experiments.verify.verdict import Evidence, Verdict
from theory.claim import Claim, claims
from theory.families import given
from theory.setting import Facts, Setting, facts_of
from theory.trial import Lab, NotMeasurable, Order, Scale, Trial, Values, equal

BASE = claims["dynamics/cycle"]


def judged(
    measured: Values,
    stated: Values,
    *,
    relation: str = "<=",
    error: float = 1e-15,
    at: Values | None = None,
    order: Order | None = None,
    scale: Scale | None = None,
    **changes: object,
) -> Evidence:
    """What the verifier says of two sides made up here."""
    entries = np.arange(measured.shape[-1], dtype=float) if at is None else at

    def trial(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        return Trial(
            "made up",
            entries,
            measured,
            lambda s: s.get("radius", 1.0) * stated,
            np.full(len(stated), error),
            relation,  # type: ignore[arg-type]
        )

    claim: Claim = replace(BASE, trials={"made up": trial}, order=order)
    instance = given(claim, "spectrum:h=1/0.5", lam="1", gamma=0.5, rho=0.1, steps=10)
    case = Case(claim, instance.setting, facts_of(instance.setting), 10, scale or {}, "", "")
    found = take("trial made up", case, Means(seed=1))
    assert found is not None
    return found


def test_upper_bounds() -> None:
    below = judged(np.array([0.5, 0.9]), np.array([1.0, 1.0]))
    assert below.verdict is Verdict.CONSISTENT
    assert below.critical["radius"].sharpest == pytest.approx(0.9)
    assert judged(np.array([0.5, 1.1]), np.array([1.0, 1.0])).verdict is Verdict.VIOLATED
    # Rounding is not held against it; what rounding cannot explain is.
    assert judged(np.array([1 + 5e-16]), np.array([1.0])).verdict is Verdict.CONSISTENT
    assert judged(np.array([1 + 5e-15]), np.array([1.0])).verdict is Verdict.VIOLATED
    assert judged(np.array([0.9]), np.array([1.0]), scale={"radius": 0.8}).verdict is Verdict.VIOLATED
    assert judged(np.array([np.nan]), np.array([1.0])).verdict is Verdict.VIOLATED


def test_lower_bounds() -> None:
    above = judged(np.array([1.5, 2.0]), np.array([1.0, 1.0]), relation=">=")
    assert above.verdict is Verdict.CONSISTENT
    # The bound could be 1.5 times as large.
    assert above.critical["radius"] == pytest.approx((1.5, 1.5, True))
    assert above.measured > 0
    assert judged(np.array([0.9]), np.array([1.0]), relation=">=").verdict is Verdict.VIOLATED
    assert judged(np.array([-0.9]), np.array([-1.0]), relation=">=").verdict is Verdict.CONSISTENT


def test_equalities() -> None:
    one = np.array([1.0])
    assert judged(one, one, relation="=").verdict is Verdict.EXACT
    assert judged(one * (1 + 1e-12), one, relation="=", error=1e-11).verdict is Verdict.EXACT
    assert judged(one * (1 + 1e-10), one, relation="=", error=1e-11).verdict is Verdict.VIOLATED
    assert judged(one * np.nan, one, relation="=").verdict is Verdict.VIOLATED
    assert judged(one, one, relation="=", error=0.0).verdict is Verdict.EXACT
    trial = equal("x", np.array(2.0), np.array(2.0), error=np.array(1e-12))
    assert trial.stated({"a": 3.0}) == 6.0


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.5, Verdict.CONSISTENT), (1.0, Verdict.CONSISTENT), (1.6, Verdict.VIOLATED)]
)
def test_expectations(mean: float, verdict: Verdict) -> None:
    """Each row is a draw of a nonnegative quantity, drawn for the copies that the lab names."""

    def trial(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        draws = [np.random.default_rng([5, r]).exponential(mean, 3) for r in lab.replicates]
        return Trial("made up", np.array([10.0, 20.0, 30.0]), np.array(draws), lambda s: np.ones(3), np.zeros(3))

    claim: Claim = replace(BASE, trials={"made up": trial}, constants={})
    instance = given(
        replace(claim, method="sgd"), "parabolas:h=1/2,slopes=1/-1", "uniform", gamma=0.1, steps=30, x0="scaled:3"
    )
    case = Case(claim, instance.setting, facts_of(instance.setting), 30, {}, "", "")
    found = take("trial made up", case, Means(seed=1))
    assert found is not None
    assert found.verdict is verdict
    assert found.replicates >= 64


def test_orders() -> None:
    at = np.asarray(0.2 * 0.5 ** np.arange(7), dtype=np.float64)
    linear = Order(1.0, (0.5, 1.5, 2.0))

    def seen(curve: Values) -> Evidence:
        return judged(curve, np.ones(7), at=at, order=linear, error=1e-12)

    first = seen(3 * at + 2 * at**2)
    assert first.verdict is Verdict.RATE_SEEN
    assert first.reason.startswith("slope 1.0")
    assert seen(at**1.5).verdict is Verdict.VIOLATED
    assert seen(at**2).verdict is Verdict.VIOLATED
    # Slopes that still change say nothing, and neither do errors near the rounding floor.
    assert seen(at * (1 + 30 * at**0.5)).verdict in (Verdict.INCONCLUSIVE, Verdict.RATE_SEEN)
    assert judged(at, np.ones(7), at=at, order=linear, error=0.05).verdict is Verdict.INCONCLUSIVE


def test_what_cannot_be_measured_is_inconclusive() -> None:
    def trial(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        raise NotMeasurable("horizon too short: made up")

    claim: Claim = replace(BASE, trials={"made up": trial})
    instance = given(claim, "spectrum:h=1/0.5", lam="1", gamma=0.5, rho=0.1, steps=10)
    found = take("trial made up", Case(claim, instance.setting, facts_of(instance.setting), 10, {}, "", ""), Means())
    assert found is not None
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "horizon too short: made up"
