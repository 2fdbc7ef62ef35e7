"""Spaces of instances through which a search moves: a box of numbers in [0, 1], decoded into a problem, a sampling, a
start, step sizes inside the admissible set (its boundary included) and a horizon.

Positive quantities are in logarithmic scale; lambda and probabilities reach into both tails, because counterexamples
live there. No tight family is among them: what a search finds it found by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from problems.errors import InputError
from problems.pl import PLSine
from problems.problem import Problem, Vector
from problems.spec import spelled
from problems.toys import Parabolas
from theory.admissible import steps_at
from theory.claim import Claim, Instance
from theory.families import finish
from theory.methods.method import methods
from theory.samplings import Sampling, full, independent, partition, replacement, samplings, single, tau_nice
from theory.setting import facts_of, make_setting

LONGEST = 1000
"""Horizon of a searched run."""


@dataclass(frozen=True)
class Space:
    """A box of `size` numbers in [0, 1]. draw(claim, numbers) decodes them; None where the claim admits nothing."""

    name: str
    size: int
    draw: Callable[[Claim, Vector], Instance | None]


# -- how one number in [0, 1] is read --


def logarithmic(u: float, low: float, high: float) -> float:
    """From low to high on a logarithmic scale."""
    return float(low * (high / low) ** u)


def both_tails(u: float, *, decades: float, ends: bool) -> float:
    """A number in (0, 1) that comes within 10^-decades of both 0 and 1, and with `ends` attains them."""
    if ends:
        if u < 0.1 or u > 0.9:
            return float(u > 0.5)
        u = (u - 0.1) / 0.8
    tail = 0.5 * 10 ** (-decades * abs(2 * u - 1))
    return float(tail if u < 0.5 else 1 - tail)


def either_sign(u: float, *, decades: float) -> float:
    """A number in [-1, 1] whose size is logarithmic over some decades, with exact 0 in the middle."""
    away = abs(2 * u - 1)
    if away < 0.1:
        return 0.0
    return float(np.sign(u - 0.5) * 10 ** (-decades * (1 - away) / 0.9))


def part_of_step(u: float) -> float:
    """A part of the largest step: exactly 1 for the upper third, logarithmic below."""
    return 1.0 if u > 0.65 else logarithmic(u / 0.65, 1e-4, 1.0)


def part_of_radius(u: float) -> float:
    """A part of the largest radius: 0, or within either tail; at the largest radius itself no step is left."""
    return 0.0 if u < 0.15 else both_tails((u - 0.15) / 0.85, decades=4, ends=False)


# -- decoding --


def _instance(
    claim: Claim, problem: Problem, sampling: Sampling, numbers: Vector, direction: Vector
) -> Instance | None:
    """numbers: lambda, part of rho, part of gamma, distance of the start, horizon. direction: of the start."""
    lam = both_tails(numbers[0], decades=6, ends=True)
    size = float(np.linalg.norm(direction))
    distance = 0.0 if numbers[3] < 0.15 or size == 0 else logarithmic((numbers[3] - 0.15) / 0.85, 1e-4, 1e6)
    x0 = problem.centre + (distance / size * direction if size else direction)
    mixed = claim.method == "unified-sam"
    method = methods.build(f"unified-sam:lam={spelled(lam)}" if mixed else claim.method)
    setting = make_setting(problem, sampling=sampling, method=method, x0=x0)
    facts = facts_of(setting)
    pair = steps_at(claim, facts, part_of_step(numbers[2]), part_of_radius(numbers[1]))
    if pair is None or not claim.admits(facts.with_steps(*pair)):
        return None
    steps = round(logarithmic(numbers[4], 1, LONGEST))
    written = "/".join(spelled(entry) for entry in x0)
    chosen = setting.with_steps(gamma=pair[0], rho=pair[1])
    return finish(problem.name, sampling.name, chosen, steps, written, "synthetic")


_COMMON = 5


def _written(entries: Vector) -> str:
    return "/".join(repr(float(entry)) for entry in entries)


def _sampling(problem: Problem, u: float, law: Vector) -> Sampling:
    """One of the eight kinds; law: positive numbers from which probabilities are made."""
    n = problem.n
    p = law / law.sum()
    choice = min(int(u * 8), 7)
    if choice <= 2:
        return single(p, name=f"single:p={_written(p)}")
    if choice == 3:
        return samplings.build("importance", problem=problem)
    if choice == 4:
        return full(n)
    if choice == 5:
        kept = np.maximum(np.minimum(law / law.max(), 1.0), 1e-6)
        return independent(kept, name=f"independent:p={_written(kept)}")
    if choice == 6:
        return replacement(p, 2, name=f"replacement:tau=2,q={_written(p)}")
    if n == 2:
        return single(np.full(2, 0.5), name="uniform")
    blocks = partition(
        np.arange(n) * 2 // n, p[:2] / p[:2].sum(), name=f"partition:blocks=2,p={_written(p[:2] / p[:2].sum())}"
    )
    return blocks if u < 15 / 16 else tau_nice(n, 2)


def _sum(n: int, d: int) -> Space:
    """f_i separable quadratics, perhaps concave ones, in d coordinates."""

    def draw(claim: Claim, u: Vector) -> Instance | None:
        h = np.ones((d, n))
        slopes = np.zeros((d, n))
        k = 0
        for j in range(d):
            for i in range(n):
                if (j, i) != (0, 0):
                    h[j, i] = either_sign(u[k], decades=4)
                    k += 1
        for j in range(d):
            for i in range(n - 1):
                slopes[j, i] = 1e3 * either_sign(u[k], decades=6)
                k += 1
            slopes[j, -1] = -slopes[j, :-1].sum()
        if (h.mean(axis=1) <= 0).any():
            return None
        tails = np.array([both_tails(entry, decades=6, ends=False) for entry in u[k : k + n - 1]])
        law = np.append(tails, np.prod(1 - tails)) if n > 1 else np.ones(1)
        k += n - 1
        problem = Parabolas(h=h, slopes=slopes if slopes.any() else None)
        sampling = _sampling(problem, float(u[k]), law)
        turned = 2 * u[k + 1 : k + 1 + d] - 1
        return _instance(claim, problem, sampling, u[k + 1 + d :], turned)

    return Space(
        f"sums of {n} in {d} dimensions" if d > 1 else f"sums of {n} on the line",
        d * n - 1 + d * (n - 1) + n - 1 + 1 + d + _COMMON,
        draw,
    )


def _spectrum(d: int) -> Space:
    """One quadratic, full batch: the spectrum and the direction of the start."""

    def draw(claim: Claim, u: Vector) -> Instance | None:
        h = np.array([[1.0]] + [[logarithmic(entry, 1e-4, 1.0)] for entry in u[: d - 1]])
        # The start is weighed over many decades, so that one direction may dominate.
        turned = np.array([either_sign(entry, decades=6) for entry in u[d - 1 : 2 * d - 1]])
        return _instance(claim, Parabolas(h=h), full(1), u[2 * d - 1 :], turned)

    return Space(f"spectra in {d} dimensions", 2 * d - 1 + _COMMON, draw)


def _wavy(noisy: bool) -> Space:
    """x^2 + a sin^2 x on the line, alone or in two components with additive noise."""

    def draw(claim: Claim, u: Vector) -> Instance | None:
        a = round(logarithmic(float(u[0]), 0.05, 6.0), 6)
        level = round(logarithmic(float(u[1]), 1e-3, 10.0), 6) if noisy else None
        problem = PLSine.with_map(d=1, a=a, n=2 if noisy else None, noise="additive" if noisy else "none", level=level)
        sampling = single(np.full(2, 0.5), name="uniform") if noisy else full(1)
        return _instance(claim, problem, sampling, u[2 + noisy :], 2 * u[1 + noisy : 2 + noisy] - 1)

    return Space("wavy functions with noise" if noisy else "wavy functions", 2 + noisy + _COMMON, draw)


SPACES = (_sum(2, 1), _spectrum(2), _sum(3, 1), _sum(2, 2), _wavy(False), _wavy(True))
"""What a search goes through, simplest first."""


def draw(space: Space, claim: Claim, numbers: Vector) -> Instance | None:
    """Decode numbers, None where they make no problem or the claim admits no step there."""
    try:
        with np.errstate(all="ignore"):
            found = space.draw(claim, numbers)
    except (InputError, np.linalg.LinAlgError, ZeroDivisionError, OverflowError):
        return None
    return found if found is None else replace(found, origin="synthetic")
