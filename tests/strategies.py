"""What several test files share: Hypothesis strategies, an example of everything that has a SPEC, and second
implementations of the random draws and of the gradients, written from their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from problems.glm import LeastSquares, Logistic
from problems.pl import SineSum
from problems.problem import Problem, Vector, problems
from problems.quadratics import DenseQuadratic, DiagonalQuadratic, QuadraticSum
from problems.toys import StallingSine, TentSlope
from theory import samplings as kinds
from theory.samplings import Sampling, SamplingData

# -- one example at least of every registered problem and sampling --

PROBLEMS: dict[str, tuple[str, ...]] = {
    "quadratic": (
        *(
            f"quadratic:d=6,mu=0.1,L=2,seed=3,spectrum={spectrum},basis={basis}"
            for spectrum in ("log", "linear", "two", "uniform")
            for basis in ("rotated", "diagonal")
        ),
        "quadratic:d=1,mu=2,L=2",
        "quadratic:d=1,mu=2,L=2,basis=diagonal",
        "quadratic:d=4,mu=0,L=1,basis=diagonal",
    ),
    "quadratic-sum": (
        "quadratic-sum:n=5,d=3,seed=1",
        "quadratic-sum:n=5,d=3,indefinite=0.8,spectrum=linear",
        "quadratic-sum:n=4,d=3,noise=0",
        "quadratic-sum:n=1,d=1,mu=1,L=1",
        "quadratic-sum:n=1,d=3",
        "quadratic-sum:n=4,d=1,mu=2,L=2",
    ),
    "random-qp": ("random-qp:d=5,cond=50", "random-qp:d=1,cond=1"),
    "ridge": ("ridge:data=diabetes,reg=0.1", "ridge:data=diabetes,reg=0.3,scale=columns"),
    "least-squares": ("least-squares:data=diabetes", "least-squares:data=diabetes,target=zero"),
    "logistic": ("logistic:data=breast_cancer,reg=0.1,scale=columns",),
    "pl-sine": (
        "pl-sine:d=4,a=3",
        "pl-sine:d=1,a=3",
        "pl-sine:d=4,a=0",
        "pl-sine:d=4,a=4.5,n=5,noise=multiplicative,level=0.7",
        "pl-sine:d=4,a=2,n=6,noise=additive,level=2,map=rotated",
        "pl-sine:d=4,a=2,n=5,noise=additive,map=linear,cond=4,rows=2",
    ),
    "parabolas": ("parabolas", "parabolas:h=1/2/5,slopes=1/-1/0", "parabolas:h=3"),
    "mixed-curvature": ("mixed-curvature", "mixed-curvature:a=3,b=2.5"),
    "one-sided": ("one-sided", "one-sided:q=0.5,d=2,beta=3"),
    "tent": ("tent", "tent:a=0.4,rho=1,beta=2"),
    "sine-stall": ("sine-stall", "sine-stall:rho=0.3,beta=5"),
    "linear-losses": ("linear-losses:n=4",),
    "quadratic-losses": ("quadratic-losses:n=4,h=1/0.4", "quadratic-losses:n=5,examples=outlier,flip=2"),
    "logistic-losses": ("logistic-losses:n=8,d=2,reg=0.1", "logistic-losses:data=breast_cancer,n=30,reg=0.1"),
    "cosine-losses": ("cosine-losses:n=4", "cosine-losses:n=3,examples=aligned"),
    "cubic": ("cubic", "cubic:h=1/0.3,b=0.3/0.5@1/-0.2,reach=50"),
    "minima-line": ("minima-line", "minima-line:h=1,s=1,c=0"),
    "cosine": ("cosine", "cosine:c=1/0.5,w=1/2"),
    "log-cosh-ridge": ("log-cosh-ridge", "log-cosh-ridge:d=2,rows=3,alpha=0"),
    "log-cosh": ("log-cosh", "log-cosh:a=1/0/2@0.5/-1/0,k=2/3,b=1/-1"),
    "power": ("power", "power:p=3,reach=1"),
    "spectrum": ("spectrum:h=1/0.5/0.2", "spectrum:h=2/0.5/0.7,seed=3,basis=rotated", "spectrum:h=3"),
}
PROBLEMS |= {
    name: (name,)
    for name in problems
    if name not in PROBLEMS and all(key.default is not key.empty for key in problems.keys(name).values())
}

SPECS = [spec for specs in PROBLEMS.values() for spec in specs]


def sampling_specs(n: int) -> dict[str, str]:
    """A SPEC for every registered sampling, for a problem of n components."""
    ramp = np.arange(1, n + 1) / (n * (n + 1) / 2)
    p = "/".join(repr(float(entry)) for entry in ramp)
    some = "/".join(repr(float(entry)) for entry in np.linspace(1.0, 0.3, n))
    tau = max(1, n // 2)
    return {
        "full": "full",
        "uniform": "uniform",
        "importance": "importance",
        "single": f"single:p={p}",
        "tau-nice": f"tau-nice:tau={tau}",
        "replacement": f"replacement:tau={tau},q={p}",
        "independent": f"independent:p={some}",
        "partition": f"partition:blocks={tau}",
    }


# -- strategies --


@st.composite
def laws(draw: st.DrawFn, n: int) -> Vector:
    """n positive probabilities that sum to 1, some of them small."""
    raw = np.array(draw(st.lists(st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0]), min_size=n, max_size=n)))
    return np.asarray(raw / raw.sum())


@st.composite
def sampling_of(draw: st.DrawFn, n: int) -> Sampling:
    """Any sampling of n components that takes each of them with positive probability."""
    kind = draw(st.sampled_from(["full", "single", "tau-nice", "replacement", "independent", "partition"]))
    tau = draw(st.integers(1, n))
    if kind == "full":
        return kinds.full(n)
    if kind == "single":
        return kinds.single(draw(laws(n)))
    if kind == "tau-nice":
        return kinds.tau_nice(n, tau)
    if kind == "replacement":
        return kinds.replacement(draw(laws(n)), tau)
    if kind == "independent":
        chances = st.sampled_from([0.05, 0.3, 0.5, 0.9, 1.0])
        return kinds.independent(draw(st.lists(chances, min_size=n, max_size=n)))
    labels = np.concatenate(
        [np.arange(tau), draw(st.lists(st.integers(0, tau - 1), min_size=n - tau, max_size=n - tau))]
    )
    return kinds.partition(labels.astype(np.int64), draw(st.one_of(st.none(), laws(tau))))


@st.composite
def finite_sums(draw: st.DrawFn) -> Problem:
    """Small finite sums: convex, indefinite and interpolating quadratics, parabolas, non-convex PL functions."""
    family = draw(st.sampled_from(["convex", "indefinite", "interpolating", "parabolas", "multiplicative", "additive"]))
    n, d, seed = draw(st.integers(2, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 99))
    if family == "parabolas":
        curvatures = draw(st.lists(st.sampled_from([0.1, 1.0, 7.0]), min_size=n, max_size=n))
        slopes = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
        text = "/".join(map(str, curvatures))
        return problems.build(f"parabolas:h={text},slopes={'/'.join(map(str, slopes))}")
    if family in ("multiplicative", "additive"):
        return problems.build(f"pl-sine:d={d},a=3,n={n},noise={family},level=0.8,seed={seed}")
    ends = "mu=0.5,L=0.5" if d == 1 else "mu=0.2,L=1"
    extra = {"convex": "", "indefinite": ",indefinite=1.5", "interpolating": ",noise=0"}[family]
    return problems.build(f"quadratic-sum:n={n},d={d},{ends},seed={seed}{extra}")


# -- the random draws, in whole numbers of Python --

WORD = 0xFFFFFFFFFFFFFFFF


def mix(word: int) -> int:
    """The finaliser of splitmix64."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & WORD
    return word ^ (word >> 31)


def uniform_number(seed: int, replicate: int, t: int, k: int) -> float:
    """The k-th number of step t of a replicate, in [0, 1)."""
    key = mix(mix(seed + 0x9E3779B97F4A7C15 & WORD) + replicate * 0xD1342543DE82EF95 & WORD)
    word = mix(mix(key + t * 0x9E3779B97F4A7C15 & WORD) + k * 0xA0761D6478BD642F & WORD)
    return (word >> 11) / 2**53


def drawn(sampling: SamplingData, seed: int, replicate: int, t: int) -> tuple[list[int], list[float]]:
    """The components that step t of a replicate draws, and their weights."""

    def number(k: int) -> float:
        return uniform_number(seed, replicate, t, k)

    def pick(k: int) -> int:
        cell, rest = divmod(number(k) * len(sampling.threshold), 1.0)
        return int(cell) if rest < sampling.threshold[int(cell)] else int(sampling.alias[int(cell)])

    n, tau = sampling.n, sampling.tau
    if sampling.kind == kinds.FULL:
        return list(range(n)), [1.0] * n
    if sampling.kind == kinds.BLOCKS:
        block = pick(0)
        places = range(int(sampling.starts[block]), int(sampling.starts[block + 1]))
        return [int(sampling.members[place]) for place in places], [float(sampling.weights[place]) for place in places]
    if sampling.kind == kinds.SINGLE:
        chosen = [pick(0)]
    elif sampling.kind == kinds.REPLACEMENT:
        chosen = [pick(k) for k in range(tau)]
    elif sampling.kind == kinds.INDEPENDENT:
        chosen = [i for i in range(n) if number(i) < sampling.probabilities[i]]
    else:
        chosen = []  # Floyd: a number already taken hands over to the newest one
        for k in range(tau):
            i = math.floor(number(k) * (n - tau + k + 1))
            chosen.append(n - tau + k if i in chosen else i)
    return chosen, [float(sampling.weights[i]) for i in chosen]


# -- gradients, in NumPy --

Gradient = Callable[[Vector, Sequence[int], Sequence[float]], Vector]


def numpy_gradient(problem: Problem) -> Gradient:
    """(1/n) sum_k w_k grad f_{i_k}(x) from the formula of the problem's class; a class unknown here falls back on
    the problem's own kernel."""
    data, n = problem.data, problem.n

    def single(slope: Callable[[Vector], Vector]) -> Gradient:
        return lambda x, indices, weights: sum(weights) * slope(x)

    def squares(x: Vector, indices: Sequence[int], weights: Sequence[float]) -> Vector:
        A, w = data.A[list(indices)], np.array(weights, dtype=np.float64)
        return np.asarray((A.T @ (w * (A @ x - data.b[list(indices)])) + data.reg * w.sum() * x) / n)

    def logistic(x: Vector, indices: Sequence[int], weights: Sequence[float]) -> Vector:
        A, b, w = data.A[list(indices)], data.b[list(indices)], np.array(weights, dtype=np.float64)
        with np.errstate(over="ignore"):
            return np.asarray((-A.T @ (w * b / (1 + np.exp(b * (A @ x)))) + data.reg * w.sum() * x) / n)

    def components(x: Vector, indices: Sequence[int], weights: Sequence[float]) -> Vector:
        z = x - data.minimiser
        w = np.array(weights, dtype=np.float64)
        return np.asarray(w @ (data.H[list(indices)] @ z + data.g[list(indices)]) / n)

    def sines(x: Vector, indices: Sequence[int], weights: Sequence[float]) -> Vector:
        w = np.array(weights, dtype=np.float64)
        M: NDArray[np.float64] = np.eye(len(x)) if data.separable else data.M
        u = M @ x
        total = w @ data.s[list(indices)] * (M.T @ (2 * u + data.a * np.sin(2 * u)))
        return np.asarray(total + w @ data.c[list(indices)] if data.shifted else total) / n

    def tent(x: Vector) -> Vector:
        p = data.rho - 2 * data.a
        rising = np.where(x < 0, p + x, np.where(x < data.rho - data.a, p - x, x - data.rho))
        return np.asarray(data.beta * rising)

    def stall(x: Vector) -> Vector:
        rate = 3 * math.pi / (2 * data.rho)
        return np.asarray(data.height * rate * np.cos(rate * x))

    known: dict[type, Gradient] = {
        DenseQuadratic: single(lambda x: np.asarray(data.H @ (x - data.minimiser))),
        DiagonalQuadratic: single(lambda x: np.asarray(data.h * x)),
        QuadraticSum: components,
        LeastSquares: squares,
        Logistic: logistic,
        SineSum: sines,
        TentSlope: single(tent),
        StallingSine: single(stall),
    }
    return known.get(type(data), problem.minibatch_gradient)
