"""Arbitrary sampling: random vectors v with E v_i = 1, and what theorems need to know of them.

A sampling gives the estimator grad f_v(x) = (1/n) sum_i v_i grad f_i(x). Three things follow from its law:
the second moments E v_i v_j (expected-residual constants), the largest smoothness L_S of any grad f_v, and,
where they are few, the atoms of v (exact expectations). The engine draws from the same object's `data`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from problems.errors import InputError
from problems.problem import (
    Constant,
    Grade,
    Indices,
    Matrix,
    Problem,
    Vector,
    as_vector,
    bound,
    check_count,
    plain,
    weakest,
)
from problems.spec import Catalogue, read_int

Mask = NDArray[np.bool_]

samplings: Catalogue[Sampling] = Catalogue("sampling", ("theory",))
"""Every sampling that has a SPEC: `samplings.build("tau-nice:tau=16", problem=problem)`."""

FULL, SINGLE, TAU_NICE, REPLACEMENT, INDEPENDENT, BLOCKS, LISTED = range(7)
"""How the engine draws: all components; one; tau distinct; tau with replacement; each on its own; one of
the blocks; the block numbered by the replicate (used to enumerate the atoms)."""


class SamplingData(NamedTuple):
    """What the engine reads: one type for every sampling, so that none of them compiles anything again.

    kind: one of the numbers above. n: components; tau: draws a step; largest: most components in one draw.
    threshold, alias: Walker's alias table over components or blocks. probabilities: of each component
    (INDEPENDENT). weights: v_i of a drawn component; for BLOCKS and LISTED, of each member.
    members, starts: block k holds members[starts[k]:starts[k + 1]].
    """

    kind: int
    n: int
    tau: int
    largest: int
    threshold: Vector
    alias: Indices
    probabilities: Vector
    weights: Vector
    members: Indices
    starts: Indices


@dataclass(frozen=True)
class SecondMoment:
    """E v_i v_j = common + [i = j] diagonal_i + [i, j in block B] block_weights_B, which covers every sampling.

    diagonal: shape (n,). common: scalar. blocks: a label per component, shape (n,), or None.
    block_weights: shape (number of blocks,).
    """

    diagonal: Vector
    common: float
    blocks: Indices | None = None
    block_weights: Vector | None = None

    def mean_of_products(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """(1/n^2) sum_ij E[v_i v_j] a_i (x) b_i's product, for matrix products a_i @ b_j.

        a: shape (n, p, q); b: shape (n, q, r); result (p, r).
        """
        n = len(self.diagonal)
        total = np.einsum("i,ijk,ikl->jl", self.diagonal, a, b) + self.common * (a.sum(axis=0) @ b.sum(axis=0))
        if self.blocks is not None and self.block_weights is not None:
            for label, weight in enumerate(self.block_weights):
                chosen = self.blocks == label
                total += weight * (a[chosen].sum(axis=0) @ b[chosen].sum(axis=0))
        return np.asarray(total / n**2)


@dataclass(frozen=True)
class ERConstants:
    """Expected residual: E ||grad f_v||^2 <= 2 A (f - f*) + B ||grad f||^2 + C, with the grade of the three.

    route: where they come from. A in units of L, B dimensionless, C in units of ||grad||^2.
    """

    A: float
    B: float
    C: float
    grade: Grade
    route: str


class Atom(NamedTuple):
    """One value of v: its probability, the components with v_i != 0, and v there."""

    probability: float
    indices: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Sampling:
    """A sampling of n components.

    name: the SPEC. data: for the engine. moment: E v_i v_j. least_probability: the smallest positive
    probability that a component takes part, or is left out when it may be: events rarer than a sample can
    show. uniform_table: how A and B of the expected residual follow from L_i (see `er_constants`).
    """

    name: str
    n: int
    data: SamplingData
    moment: SecondMoment
    least_probability: float
    probabilities: Vector
    """The law that the name speaks of: of one draw, of taking part, or of each block; empty for tau-nice and full."""
    later: tuple[tuple[int, Sampling], ...] = ()
    """From these steps on, one after the other, these samplings are drawn instead: a batch that grows. Everything else
    here speaks of the first stage."""

    def stages(self, last: int) -> list[tuple[int, int, Sampling]]:
        """(first step, end, sampling) of each stage before step `last`."""
        starts = [0, *(start for start, _ in self.later)]
        parts = [self, *(sampling for _, sampling in self.later)]
        ends = [*starts[1:], last]
        return [(a, min(b, last), part) for a, b, part in zip(starts, ends, parts, strict=True) if a < last]

    @property
    def kind(self) -> int:
        return self.data.kind

    @property
    def is_full(self) -> bool:
        """v = 1 always: E v_i = 1 and E v_i^2 = 1 for every i leave no randomness."""
        squares = self.moment.diagonal + self.moment.common
        if self.moment.blocks is not None and self.moment.block_weights is not None:
            squares = squares + self.moment.block_weights[self.moment.blocks]
        return bool(np.all(squares == 1.0))

    @property
    def expected_size(self) -> float:
        """How many components one draw evaluates, on average; a component drawn twice counts twice."""
        if self.kind == INDEPENDENT:
            return float(self.data.probabilities.sum())
        if self.kind == BLOCKS:
            return float(sum(p * len(block) for p, block in zip(self.probabilities, self.blocks(), strict=True)))
        return float({FULL: self.n, SINGLE: 1}.get(self.kind, self.data.tau))

    def blocks(self) -> list[Indices]:
        """The blocks of a partition sampling."""
        starts, members = self.data.starts, self.data.members
        return [members[starts[k] : starts[k + 1]] for k in range(len(starts) - 1)]

    def atom_count(self) -> float:
        """How many atoms `atoms` would give (an upper bound, infinite when too large to say)."""
        n, tau = self.n, self.data.tau
        if self.kind == FULL:
            return 1
        if self.kind == SINGLE:
            return n
        if self.kind == TAU_NICE:
            return math.comb(n, tau)
        if self.kind == REPLACEMENT:
            return math.comb(n + tau - 1, tau)
        if self.kind == INDEPENDENT:
            return 2.0 ** min(n, 1000)
        return len(self.data.starts) - 1

    def atoms(self) -> Iterator[Atom]:
        """Every value of v with positive probability; the probabilities sum to 1."""
        n, tau, w = self.n, self.data.tau, self.data.weights
        if self.kind == FULL:
            yield Atom(1.0, tuple(range(n)), (1.0,) * n)
        elif self.kind == SINGLE:
            for i, p in enumerate(self.probabilities):
                if p > 0:
                    yield Atom(float(p), (i,), (float(w[i]),))
        elif self.kind == TAU_NICE:
            count = math.comb(n, tau)
            for chosen in itertools.combinations(range(n), tau):
                yield Atom(1.0 / count, chosen, (n / tau,) * tau)
        elif self.kind == REPLACEMENT:
            support = [i for i in range(n) if self.probabilities[i] > 0]
            for drawn in itertools.combinations_with_replacement(support, tau):
                counts = {i: drawn.count(i) for i in drawn}
                ways = math.factorial(tau)
                for times in counts.values():
                    ways //= math.factorial(times)
                probability = ways * math.prod(float(self.probabilities[i]) for i in drawn)
                yield Atom(probability, tuple(counts), tuple(times * float(w[i]) for i, times in counts.items()))
        elif self.kind == INDEPENDENT:
            p = self.probabilities
            for taken in itertools.product((False, True), repeat=n):
                probability = math.prod(float(p[i]) if taken[i] else 1.0 - float(p[i]) for i in range(n))
                if probability > 0:
                    chosen = tuple(i for i in range(n) if taken[i])
                    yield Atom(probability, chosen, tuple(float(w[i]) for i in chosen))
        else:
            for label, block in enumerate(self.blocks()):
                start = int(self.data.starts[label])
                weights = tuple(float(v) for v in w[start : start + len(block)])
                yield Atom(float(self.probabilities[label]), tuple(int(i) for i in block), weights)


def alias_table(probabilities: Vector) -> tuple[Vector, Indices]:
    """Walker's alias table: draw i uniformly, keep it with probability threshold[i], else take alias[i]. O(n)."""
    n = len(probabilities)
    scaled = probabilities * n / probabilities.sum()
    threshold, alias = np.ones(n), np.arange(n)
    small = [i for i in range(n) if scaled[i] < 1]
    large = [i for i in range(n) if scaled[i] >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        threshold[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1:
            small.append(large.pop())
    for left in small:  # rounding leftovers; a component that must never be drawn hands over to one that may
        if probabilities[left] == 0:
            threshold[left], alias[left] = 0.0, int(np.argmax(probabilities))
    return threshold, alias


def check_probabilities(
    entries: ArrayLike, *, argument: str, size: int, varying: Mask | None = None, sum_to_one: bool = True
) -> Vector:
    """Probabilities of `size` components.

    Raises InputError for a wrong shape, NaN, a negative entry, a sum other than 1, or a zero where the
    component is not constant (`varying`), because E v_i = 1 would then be impossible.
    """
    try:
        p = np.array(entries, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{argument} must be an array of numbers, got {type(entries).__name__}") from None
    if p.shape != (size,):
        raise InputError(f"{argument} must have shape ({size},), one probability for each of them, got {p.shape}")
    if np.isnan(p).any():
        raise InputError(f"{argument} holds NaN at position {int(np.isnan(p).argmax())}; probabilities lie in [0, 1]")
    if (p < 0).any() or (p > 1 + 1e-12).any():
        worst = int(np.argmax(np.abs(p - 0.5)))
        raise InputError(f"{argument} holds {plain(p[worst])!r} at position {worst}; probabilities lie in [0, 1]")
    # A sum of n rounded probabilities is off by at most n eps / 2; files written with few digits are not meant.
    if sum_to_one and abs(p.sum() - 1) > 1e-9 + size * np.finfo(float).eps:
        raise InputError(f"{argument} must sum to 1, got {plain(p.sum())!r}")
    if varying is not None and ((p == 0) & varying).any():
        i = int(((p == 0) & varying).argmax())
        raise InputError(f"{argument} is 0 at position {i}, where f_i is not constant; it must be positive there")
    return as_vector(np.minimum(p, 1.0) / (p.sum() if sum_to_one else 1.0), argument=argument)


def read_array(path: str, *, argument: str) -> NDArray[np.float64]:
    """The array in an `.npy` file, never unpickled, or the numbers of `0.2/0.3/0.5`; InputError when unreadable."""
    try:
        return np.array([float(entry) for entry in path.split("/")])
    except ValueError:
        file = Path(path)
    if file.suffix != ".npy":
        raise InputError(f"{argument} must name an .npy file or give numbers as 0.2/0.3/0.5, got {path!r}")
    try:
        with file.open("rb") as stream:
            if stream.read(6) != b"\x93NUMPY":
                raise InputError(f"{argument} cannot be read from {path!r}: it is not an .npy array")
            stream.seek(0)
            return np.asarray(np.load(stream, allow_pickle=False))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{argument} names a file that does not exist: {path!r}") from None
    except (ValueError, OSError, EOFError) as error:
        reason = "it holds pickled objects" if "pickle" in str(error) else "it is not an .npy array"
        raise InputError(f"{argument} cannot be read from {path!r}: {reason}") from None


_EMPTY = np.zeros(0)
_NO_INDICES = np.zeros(0, dtype=np.int64)


def _data(
    kind: int,
    n: int,
    *,
    tau: int = 1,
    largest: int,
    p: Vector | None = None,
    weights: Vector | None = None,
    members: Indices | None = None,
    starts: Indices | None = None,
) -> SamplingData:
    threshold, alias = alias_table(p) if p is not None else (_EMPTY.copy(), _NO_INDICES.copy())
    return SamplingData(
        kind, n, tau, largest, threshold, alias,
        p.copy() if p is not None and kind == INDEPENDENT else _EMPTY.copy(),
        weights if weights is not None else np.ones(n),
        members if members is not None else _NO_INDICES.copy(),
        starts if starts is not None else _NO_INDICES.copy(),
    )  # fmt: skip


def _inverse(p: Vector) -> Vector:
    return np.divide(1.0, p, out=np.zeros_like(p), where=p > 0)


def full(n: int) -> Sampling:
    """The full batch, v = 1."""
    moment = SecondMoment(np.zeros(n), 1.0)
    return Sampling("full", n, _data(FULL, n, tau=n, largest=n), moment, 1.0, _EMPTY)


def _size(entries: ArrayLike, varying: Mask | None) -> int:
    """The number of components: the problem's where it is known, else as many as there are entries."""
    return np.size(np.asarray(entries)) if varying is None else len(varying)


def single(p: ArrayLike, *, name: str = "single(array)", varying: Mask | None = None) -> Sampling:
    """One component i with probability p_i, v = e_i / p_i. p: shape (n,)."""
    law = check_probabilities(p, argument="p", size=_size(p, varying), varying=varying)
    n = len(law)
    weights = _inverse(law)
    return Sampling(
        name, n, _data(SINGLE, n, largest=1, p=law, weights=weights), SecondMoment(weights.copy(), 0.0),
        float(law[law > 0].min()), law,
    )  # fmt: skip


def tau_nice(n: int, tau: int) -> Sampling:
    """A uniformly random set of tau distinct components, v_i = n/tau on it."""
    tau = check_count(tau, argument="tau")
    if tau > n:
        raise InputError(f"tau must lie in 1..n = {n}, got {tau!r}")
    common = n * (tau - 1) / (tau * (n - 1)) if n > 1 else 1.0
    moment = SecondMoment(np.full(n, n / tau - common), common)
    weights = np.full(n, n / tau)
    rare = min(tau / n, 1 - tau / n) if tau < n else 1.0
    return Sampling(
        f"tau-nice:tau={tau}", n, _data(TAU_NICE, n, tau=tau, largest=tau, weights=weights), moment, rare, _EMPTY
    )


def replacement(q: ArrayLike, tau: int, *, name: str | None = None, varying: Mask | None = None) -> Sampling:
    """tau independent draws with probabilities q_i, v_i = (times drawn)/(tau q_i). q: shape (n,)."""
    tau = check_count(tau, argument="tau")
    law = check_probabilities(q, argument="q", size=_size(q, varying), varying=varying)
    n = len(law)
    if tau > n:
        raise InputError(f"tau must lie in 1..n = {n}, got {tau!r}")
    weights = _inverse(law) / tau
    moment = SecondMoment(weights.copy(), 1 - 1 / tau)
    rare = float(1 - (1 - law[law > 0].min()) ** tau)
    label = name or f"replacement:tau={tau}"
    return Sampling(label, n, _data(REPLACEMENT, n, tau=tau, largest=tau, p=law, weights=weights), moment, rare, law)


def independent(p: ArrayLike, *, name: str = "independent(array)", varying: Mask | None = None) -> Sampling:
    """Each component on its own with probability p_i, v_i = 1/p_i when taken. p: shape (n,), each in (0, 1]."""
    law = check_probabilities(p, argument="p", size=_size(p, varying), varying=varying, sum_to_one=False)
    n = len(law)
    weights = _inverse(law)
    moment = SecondMoment(np.where(law > 0, weights - 1, 0.0), 1.0)
    events = np.concatenate([law[law > 0], 1 - law[law < 1]])
    data = _data(INDEPENDENT, n, largest=n, p=None, weights=weights)._replace(probabilities=law.copy())
    return Sampling(name, n, data, moment, float(events.min()) if len(events) else 1.0, law)


def _block_numbers(blocks: ArrayLike) -> Indices:
    try:
        labels = np.array(blocks, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"blocks must hold whole numbers >= 0, got {blocks!r:.40}") from None
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"blocks must give one block number per component, got shape {labels.shape}")
    bad = ~np.isfinite(labels) | (labels < 0) | (labels != np.floor(np.where(np.isfinite(labels), labels, 0.5)))
    if bad.any():
        raise InputError(f"blocks must hold whole numbers >= 0, got {plain(labels[bad.argmax()])!r}")
    used = np.unique(labels)
    if len(used) != used[-1] + 1:
        empty = int(np.argmax(np.append(used, np.inf) != np.arange(len(used) + 1)))
        raise InputError(f"blocks must use every number 0..{used[-1]:.0f}, block {empty} is empty")
    return labels.astype(np.int64)


def partition(
    blocks: ArrayLike,
    p: ArrayLike | None = None,
    *,
    name: str = "partition(array)",
    varying: Mask | None = None,
) -> Sampling:
    """One block of a partition, v_i = 1/p_block on it.

    blocks: a block number 0, 1, ... for each component, shape (n,). p: of the blocks, default proportional to
    their sizes.
    """
    labels = _block_numbers(blocks)
    number = int(labels.max()) + 1
    sizes = np.bincount(labels, minlength=number)
    law = check_probabilities(sizes / len(labels) if p is None else p, argument="p of the blocks", size=number)
    if varying is not None and len(labels) != len(varying):
        raise InputError(
            f"blocks must give one block number for each of n = {len(varying)} components, got {len(labels)}"
        )
    if (law == 0).any():
        raise InputError(f"p of the blocks must be positive, got 0 at position {int(law.argmin())}")
    members = np.argsort(labels, kind="stable").astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    n = len(labels)
    data = _data(
        BLOCKS, n, largest=int(sizes.max()), p=law, weights=1 / law[labels[members]], members=members, starts=starts
    )
    moment = SecondMoment(np.zeros(n), 0.0, labels, 1 / law)
    return Sampling(name, n, data, moment, float(law.min()), law)


def listed(atoms: list[Atom], n: int) -> SamplingData:
    """Data that makes replicate r of a run draw atom r at every step: enumeration by the ordinary engine."""
    sizes = [len(atom.indices) for atom in atoms]
    return _data(
        LISTED, n, largest=max(1, *sizes) if sizes else 1,
        weights=np.array([w for atom in atoms for w in atom.weights], dtype=np.float64),
        members=np.array([i for atom in atoms for i in atom.indices], dtype=np.int64),
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )  # fmt: skip


def without_reweighting(sampling: Sampling) -> Sampling:
    """The same draws with every weight v_i = n/(number drawn): the estimator of sum p_i f_i, not of f.

    Not a sampling in this module's sense (E v_i != 1); it exists for the control that shows what forgetting
    1/(n p_i) does.
    """
    data = sampling.data._replace(weights=np.full_like(sampling.data.weights, sampling.n / sampling.data.largest))
    unknown = SecondMoment(np.full(sampling.n, np.nan), np.nan)
    return replace(sampling, name=f"{sampling.name} (not reweighted)", data=data, moment=unknown)


# -- constants of the pair (problem, sampling) --


def largest_smoothness(problem: Problem, sampling: Sampling) -> Constant:
    """L_S = max over v of the Lipschitz constant of grad f_v.

    Exact for the full batch and for single-element, with-replacement and partition sampling wherever the
    problem's own constants are; a bound otherwise: the mean of the tau largest L_i for tau-nice (from the
    triangle inequality; at most L_max), all components at once for independent sampling with convex components.
    """
    smoothness, grade = problem.component_smoothness
    n, tau, w = sampling.n, sampling.data.tau, sampling.data.weights
    if sampling.kind == FULL:
        return problem.L
    if sampling.kind in (SINGLE, REPLACEMENT):
        factor = tau if sampling.kind == REPLACEMENT else 1
        return Constant(float((factor * w * smoothness).max()) / n, grade)
    if sampling.kind == TAU_NICE:
        if tau == n:
            return problem.L
        largest = np.sort(smoothness)[-tau:].mean()
        return Constant(float(largest), grade if tau == 1 else weakest(grade, Grade.BOUND))
    if sampling.kind == INDEPENDENT:
        if problem.convex_components:
            return problem.weighted_smoothness(w)
        return bound(float(w @ smoothness) / n)
    constants = []
    for label, block in enumerate(sampling.blocks()):
        weights = np.zeros(n)
        weights[block] = 1 / sampling.probabilities[label]
        constants.append(problem.weighted_smoothness(weights))
    return Constant(max(c.value for c in constants), weakest(*(c.grade for c in constants)))


def er_constants(problem: Problem, sampling: Sampling, *, split: float = 1.0) -> ERConstants:
    """The expected-residual constants (A, B, C) of the pair.

    Three routes, the first that applies:
    * full batch (or n = 1): A = 0, B = 1, C = 0;
    * affine noise, grad f_i = s_i grad f + c_i: from the second moments of v directly, A = 0;
    * every f_i bounded below: the table of unified.md A.1, C = 2 A sigma* (a sum over blocks for partitions);
    * sums of quadratics with a component unbounded below: A = (1 + s) lambda_max(H^-1/2 E[H_v^2] H^-1/2), B = 0,
      C = (1 + 1/s) E||grad f_v(x*)||^2, with s = `split` (and s = 0 when that gradient vanishes).

    Raises InputError when none applies.
    """
    n = sampling.n
    if n != problem.n:
        raise InputError(f"the sampling has n = {n} components and the problem n = {problem.n}; they must agree")
    if sampling.is_full:
        return ERConstants(0.0, 1.0, 0.0, Grade.EXACT, "full batch")
    noise = problem.affine_noise()
    if noise is not None:
        return _affine_er(sampling, *noise)
    gaps, gap_grade = problem.component_gaps
    if np.isfinite(gaps).all():
        return _table_er(problem, sampling, gaps, gap_grade)
    return quadratic_er(problem, sampling, split=split)


def _affine_er(sampling: Sampling, s: Vector, c: Matrix) -> ERConstants:
    moment = sampling.moment
    column, row = s[:, None, None], s[:, None, None]
    B = float(moment.mean_of_products(column, row)[0, 0])
    C = float(moment.mean_of_products(c[:, None, :], c[:, :, None])[0, 0])
    cross = float(np.linalg.norm(moment.mean_of_products(column, c[:, None, :])))
    # The cross term 2 <grad f, w> vanishes for samplings with sum v_i fixed; otherwise Young's inequality.
    if cross > 1e-13 * math.sqrt(B * C):
        B, C = B + cross / math.sqrt(C / B), C + cross * math.sqrt(C / B)
        return ERConstants(0.0, B, C, Grade.BOUND, "affine noise, with Young's inequality")
    return ERConstants(0.0, B, C, Grade.EXACT, "affine noise")


def _table_er(problem: Problem, sampling: Sampling, gaps: Vector, gap_grade: Grade) -> ERConstants:
    smoothness, grade = problem.component_smoothness
    n, tau = sampling.n, sampling.data.tau
    sigma = float(gaps.mean())
    if sampling.kind == BLOCKS:
        constants = []
        for label, block in enumerate(sampling.blocks()):
            weights = np.zeros(n)
            weights[block] = 1 / sampling.probabilities[label]
            constants.append(problem.weighted_smoothness(weights))
        A = max(c.value for c in constants)
        # f_block at its own infimum is at least the sum of the components' infima, so sigma* below is a bound.
        grade = weakest(Grade.BOUND, gap_grade, *(c.grade for c in constants))
        return ERConstants(A, 0.0, 2 * A * sigma, grade, "table A.1")
    if sampling.kind == TAU_NICE:
        A = (n - tau) / (tau * (n - 1)) * float(smoothness.max())
        B = n * (tau - 1) / (tau * (n - 1))
    elif sampling.kind == INDEPENDENT:
        A, B = float((sampling.moment.diagonal * smoothness).max()) / n, 1.0
    else:
        A, B = float((sampling.moment.diagonal * smoothness).max()) / n, sampling.moment.common
    return ERConstants(A, B, 2 * A * sigma, weakest(grade, gap_grade), "table A.1")


def quadratic_er(problem: Problem, sampling: Sampling, *, split: float = 1.0) -> ERConstants:
    """The instance's own constants for a sum of quadratics: see the last route of `er_constants`."""
    components = problem.quadratic_components()
    if components is None:
        raise InputError(
            f"problem {problem.name!r} has a component without lower bound and is no sum of quadratics; "
            "no expected-residual constants are known for it"
        )
    H, g = components
    mean = H.mean(axis=0)
    eigenvalues, basis = np.linalg.eigh(mean)
    root = (basis / np.sqrt(eigenvalues)) @ basis.T
    second = root @ sampling.moment.mean_of_products(H, H) @ root
    C = float(sampling.moment.mean_of_products(g[:, None, :], g[:, :, None])[0, 0])
    A = float(np.linalg.eigvalsh((second + second.T) / 2)[-1])
    if C == 0:
        return ERConstants(A, 0.0, 0.0, Grade.EXACT, "quadratic components, interpolation")
    return ERConstants((1 + split) * A, 0.0, (1 + 1 / split) * C, Grade.BOUND, f"quadratic components, s = {split:g}")


# -- SPECs --


@samplings.register("full")
def _full(problem: Problem) -> Sampling:
    return full(problem.n)


@samplings.register("uniform")
def _uniform(problem: Problem) -> Sampling:
    return single(np.full(problem.n, 1 / problem.n), name="uniform")


@samplings.register("importance")
def _importance(problem: Problem) -> Sampling:
    """p_i = L_i / sum_j L_j, which minimises A = max L_i/(n p_i) and gives A = L_S = L_avg."""
    smoothness, _ = problem.component_smoothness
    if not smoothness.sum() > 0:
        raise InputError(f"importance sampling needs some L_i > 0, and all are 0 in problem {problem.name!r}")
    idle = problem.varying_components & (smoothness == 0)
    if idle.any():
        raise InputError(
            f"importance sampling gives p = 0 to component {int(idle.argmax())} of problem {problem.name!r}, "
            "which is linear (L_i = 0); use single:p=... with positive probabilities"
        )
    return single(smoothness / smoothness.sum(), name="importance")


@samplings.register("single")
def _single(problem: Problem, p: str) -> Sampling:
    law = read_array(p, argument="p of sampling 'single'")
    return single(law, name=f"single:p={p}", varying=problem.varying_components)


def staged(kind: str, tau: str, most: int, build: Callable[[int], Sampling]) -> Sampling:
    """The sampling of a batch size, a number or a schedule of whole numbers; sizes above `most` are cut to it.

    Raises InputError for a schedule that does not stand still between changes, as `doubling` and `doubling-epoch` do.
    """
    from theory.schedules import read_schedule

    if ":" not in tau:
        return build(read_int(tau, argument=f"tau of sampling {kind!r}"))
    schedule = read_schedule(tau, argument="tau", low=1.0)
    if schedule.breaks is None:
        raise InputError(
            f"tau of sampling {kind!r} must be a whole number or a batch schedule such as "
            f"doubling:start=4,every=400, got {tau!r}"
        )
    sizes = [int(schedule.at(t)) for t in (0, *schedule.breaks)]
    parts = {size: build(size) for size in sorted({min(size, most) for size in sizes})}
    later, now = [], min(sizes[0], most)
    for start, size in zip(schedule.breaks, sizes[1:], strict=True):
        if min(size, most) != now:
            now = min(size, most)
            later.append((start, parts[now]))
    first = parts[min(sizes[0], most)]
    return replace(first, name=f"{kind}:tau={tau}", later=tuple(later))


@samplings.register("tau-nice")
def _tau_nice(problem: Problem, tau: str) -> Sampling:
    """tau is a number or a batch schedule, cut off at n."""
    return staged("tau-nice", tau, problem.n, lambda size: tau_nice(problem.n, size))


@samplings.register("replacement")
def _replacement(problem: Problem, tau: str, q: str | None = None) -> Sampling:
    """tau is a number or a batch schedule, cut off at n."""
    if q is None:
        even = np.full(problem.n, 1 / problem.n)
        return staged("replacement", tau, problem.n, lambda size: replacement(even, size))
    law = read_array(q, argument="q of sampling 'replacement'")
    size = read_int(tau, argument="tau of sampling 'replacement'")
    return replacement(law, size, name=f"replacement:tau={tau},q={q}", varying=problem.varying_components)


@samplings.register("independent")
def _independent(problem: Problem, p: str) -> Sampling:
    """p is an .npy file with a probability for each component, or one number for all."""
    try:
        law = np.full(problem.n, float(p))
    except ValueError:
        law = read_array(p, argument="p of sampling 'independent'")
    return independent(law, name=f"independent:p={p}", varying=problem.varying_components)


@samplings.register("partition")
def _partition(problem: Problem, blocks: str, p: str | None = None) -> Sampling:
    """blocks is an .npy file with a block number for each component, or the number of (nearly) equal blocks."""
    if blocks.isdigit():
        count = int(blocks)
        if not 1 <= count <= problem.n:
            raise InputError(f"blocks of sampling 'partition' must lie in 1..n = {problem.n}, got {count}")
        labels: ArrayLike = np.arange(problem.n) * count // problem.n
    else:
        labels = read_array(blocks, argument="blocks of sampling 'partition'")
    law = None if p is None else read_array(p, argument="p of sampling 'partition'")
    name = f"partition:blocks={blocks}" + ("" if p is None else f",p={p}")
    return partition(labels, law, name=name, varying=problem.varying_components)
