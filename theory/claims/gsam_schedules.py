"""What the noise term of GSAM's bound sums to under the usual schedules of steps and batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.gsam import HARADA, HARADA_NOTE, scheduled, suggest_steps
from theory.schedules import doubling, doubling_epoch
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values, equal, times_of
from theory.unified_sam import POSITIVE_GAMMA

DIGITS = 1e-9
"""To these the closed forms are stated."""

NO_FORM = "exact route not available: no closed form is stated for "


def _read(name: str) -> tuple[str, dict[str, float]]:
    """The kind of a schedule and its numbers, from its SPEC; a plain number is a constant."""
    kind, _, rest = name.partition(":")
    if not rest:
        return "constant", {"start": float(kind)}
    pairs = (entry.partition("=") for entry in rest.split(","))
    return kind, {key: float(value) for key, _, value in pairs}


def textbook(name: str, T: int) -> tuple[float, float]:
    """sum gamma_t and sum gamma_t^2 over t < T for a schedule made for T steps, by the formulas of the corollaries."""
    kind, given = _read(name)
    start = given["start"]
    if kind == "constant":
        return T * start, T * start**2
    if kind == "cosine":
        A, B = given["end"], (start - given["end"]) / 2
        squares = T * (A + B) ** 2 + 2 * B * (A + B) + T * B**2 / 2
        return T * (A + B) + B, squares if T >= 2 else (A + 2 * B) ** 2
    if kind == "linear":
        return start * (T + 1) / 2, start**2 * (T + 1) * (2 * T + 1) / (6 * T)
    raise NotMeasurable(f"{NO_FORM}{kind}")


def _length(facts: Facts, steps: int) -> int:
    """How many steps the schedule was made for."""
    return int(_read(facts.gamma.name)[1].get("steps", steps))


def sums(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum gamma_t and sum gamma_t^2 over t < T, term by term, beside the schedule's own sums, at many T."""
    times = times_of(steps, 40)[1:]
    values = facts.gamma.at(np.arange(steps))
    added = [np.cumsum(values**power)[times - 1] for power in (1, 2)]
    closed = [np.array([facts.gamma.sum(int(T), power=power) for T in times]) for power in (1, 2)]
    stated = np.concatenate(closed)
    return equal(
        "term by term",
        np.concatenate(added),
        stated,
        error=DIGITS * np.abs(stated),
        at=np.tile(times, 2).astype(np.float64),
    )


def whole_run(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The same over the whole run that the schedule was made for, by the formulas of the corollaries."""
    T = _length(facts, steps)
    stated = np.array(textbook(facts.gamma.name, T))
    values = facts.gamma.at(np.arange(T))
    measured = np.array([values.sum(), (values**2).sum()])
    return equal("term by term", measured, stated, error=DIGITS * stated, at=np.array([T, T], dtype=np.float64))


LIMITS = {"constant": 1.0, "cosine": 3 / 4, "linear": 2 / 3}


def averaged(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum gamma_t^2/(gamma_0 sum gamma_t) beside its limit for long runs, from which it is at most (p + 1)/T away."""
    kind, given = _read(facts.gamma.name)
    p = given.get("power", 1.0)
    if kind == "polynomial":
        limit = (p + 1) / (2 * p + 1)
    elif kind in LIMITS and given.get("end", 0.0) == 0:
        limit = LIMITS[kind]
    else:
        raise NotMeasurable(f"{NO_FORM}the limit of {facts.gamma.name}")
    T = _length(facts, steps)
    values = facts.gamma.at(np.arange(T))
    ratio = float((values**2).sum() / (values[0] * values.sum()))
    return equal(
        "term by term",
        np.array([ratio]),
        np.array([limit]),
        error=np.array([(p + 1) / T]),
        at=np.array([T], dtype=np.float64),
    )


def _batch_sums(values: Values, ends: NDArray[Any]) -> Values:
    return np.asarray(np.cumsum(1 / values)[ends.astype(np.int64) - 1])


def doubling_steps(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum 1/b_t <= 2 E/b_0 for a batch b_0 = 4 that doubles every E = `steps` steps, over up to 20 stages."""
    ends = np.arange(1, 21, dtype=np.float64) * float(steps)
    schedule = doubling(4, steps)
    measured = _batch_sums(schedule.at(np.arange(int(ends[-1]))), ends)

    def stated(scale: Scale) -> Values:
        return np.full(len(ends), scale.get("sum", 1.0) * 2 * steps / 4)

    return Trial("term by term", np.asarray(ends, dtype=np.float64), measured, stated, EPS * ends * measured)


def doubling_epochs(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The mean of 1/b_t over q whole stages is (2/3)(1 + 2^-q)/b_0 for a batch b_0 = 8 that doubles every epoch of 2^14
    samples: stages grow shorter as the batch grows."""
    n, start, stages = 2**14, 8, np.arange(1, 10)
    ends = np.cumsum(n / (start * 2.0 ** (stages - 1)))
    measured = _batch_sums(doubling_epoch(start, 1, n).at(np.arange(int(ends[-1]))), ends) / ends
    stated = 2 / 3 * (1 + 2.0**-stages) / start
    return equal("term by term", measured, stated, error=DIGITS * stated, at=ends)


def _of(gamma: str, steps: int) -> Family:
    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        return scheduled(claim, "spectrum:h=1", gamma=gamma, steps=steps)

    return Family(f"gamma = {gamma}", draw, full=1)


def _random(rng: np.random.Generator, claim: Claim) -> Instance:
    T = int(rng.integers(1, 400))
    start = round(float(rng.uniform(0.01, 1)), 3)
    kinds = [
        f"cosine:start={start},end={start * rng.uniform(0, 1):.4g},steps={T}",
        f"linear:start={start},steps={T}",
        f"polynomial:start={start},power={rng.integers(1, 9) / 2:g},steps={T}",
        f"inverse-sqrt:start={start}",
    ]
    return scheduled(claim, "spectrum:h=1", gamma=str(rng.choice(kinds)), steps=2 * T)


def _without_the_half_wave(claim: Claim) -> Claim:
    """The cosine as if its mean were exactly (start + end)/2: the sum without its term + B."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = whole_run(setting, facts, steps, lab)
        given = _read(facts.gamma.name)[1]
        stated = found.stated({}) - np.array([(given["start"] - given["end"]) / 2, 0.0])
        return replace(found, stated=lambda scale: stated)

    return replace(claim, trials={"whole run": broken})


claims.add(
    Claim(
        id="gsam/schedule-sums",
        title="What falling steps and growing batches leave of the averaged noise",
        source=Source(HARADA, None, Provenance.DERIVED, HARADA_NOTE),
        kind=Kind.EXACT,
        statement=(
            r"\text{cosine, }A=\gamma_{\min},B=\tfrac{\gamma_{\max}-\gamma_{\min}}2:\ \sum\gamma_t=T(A+B)+B,\ "
            r"\sum\gamma_t^2=T(A+B)^2+2B(A+B)+\tfrac{TB^2}2;\quad\text{linear: }\gamma\tfrac{T+1}2,\ "
            r"\gamma^2\tfrac{(T+1)(2T+1)}{6T};\quad\frac{\sum\gamma_t^2}{\gamma_0\sum\gamma_t}\to\tfrac34,\tfrac23,\tfrac{p+1}{2p+1};"
            r"\quad\text{doubling every }E\text{ steps: }\sum\tfrac1{b_t}\le\tfrac{2E}{b_0};\quad"
            r"\text{every }E\text{ epochs: }\tfrac1T\sum\tfrac1{b_t}\to\tfrac2{3b_0}"
        ),
        hypotheses=(POSITIVE_GAMMA,),
        measure=Measure.OWN,
        trials={
            "sums": sums,
            "whole run": whole_run,
            "averaged noise": averaged,
            "doubling by steps": doubling_steps,
            "doubling by epochs": doubling_epochs,
        },
        suggest=suggest_steps,
        constants={"sum": "s times the stated sum"},
        digits=9,
        method="gsam",
        families=(
            _of("0.1", 1000),
            _of("cosine:start=0.2,end=0,steps=2000", 2500),
            _of("cosine:start=0.2,end=0.002,steps=1", 3),
            _of("linear:start=0.2,steps=2000", 2500),
            _of("polynomial:start=0.2,power=3,steps=2000", 2500),
            _of("inverse-sqrt:start=0.2", 5000),
            Family("random schedules", _random, quick=6, full=60),
        ),
        controls=(
            Control(
                "one part in 10^8 off",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma="cosine:start=0.2,end=0,steps=2000", steps=2500),
                "sums",
                scale={"sum": 1 + 1e-8},
            ),
            Control(
                "the cosine's sum without its last term",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma="cosine:start=0.2,end=0.1,steps=2000", steps=10),
                "whole run",
                broken=_without_the_half_wave,
            ),
            Control(
                "doubling by steps at 0.99 of the limit",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma=0.1, steps=100),
                "doubling by steps",
                scale={"sum": 0.99},
            ),
            Control(
                "doubling by epochs taken for doubling by steps: half of the mean by the last stage",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma=0.1, steps=100),
                "doubling by epochs",
                scale={"sum": 0.5},
            ),
            Control(
                "a falling step whose averaged noise goes to half of a constant step's",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma="cosine:start=0.2,end=0,steps=2000", steps=10),
                "averaged noise",
                scale={"sum": 2 / 3},
            ),
        ),
        remarks=(
            "Cosine and linear decay do not remove the averaged noise: their gain is in the last window of a run.",
            "Doubling the batch every so many epochs leaves two thirds of that noise, every so many steps none.",
        ),
    )
)
