"""The bridge makes the engine's iterates on the same draws, up to what rounding does to the engine itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.engine import dispatch
from experiments.engine.loop import advance
from experiments.engine.run import simulate
from experiments.net import ascent, descent
from experiments.net.optimizer import SAMFamily
from problems.glm import LeastSquares, LeastSquaresProblem, Logistic, LogisticProblem
from problems.problem import Problem, problems
from problems.quadratics import DenseQuadratic, DiagonalQuadratic, QuadraticSum
from tests.strategies import drawn
from theory.methods.method import methods
from theory.samplings import largest_smoothness, samplings
from theory.setting import Setting, make_setting

Points = NDArray[np.float64]
Loss = Callable[[Tensor, list[int], list[float]], Tensor]

SEED = 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors: threads would only make them slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


METHODS = (
    "sgd", "sam", "usam", "unified-sam:lam=0.3", "gsam:alpha=0.4", "gsam:alpha=-0.3", "ssam:ascent=unnormalised",
    "ssam:ascent=normalised",
    *(
        f"multi-sam:steps=3,ascent={up},descent={down}"
        for up in ("budget", "fixed", "projected", "power")
        for down in ("last", "average", "average-start")
    ),
    "multi-sam:steps=2,ascent=fixed,descent=lookbehind,alpha=0.6",
)  # fmt: skip

SAMPLINGS = {
    "quadratic": "full",
    "diagonal quadratic": "full",
    "sum of quadratics": "uniform",
    "ridge": "tau-nice:tau=5",
    "logistic": "importance",
}


@cache
def made(name: str) -> Problem:
    if name == "quadratic":
        return problems.build("quadratic:d=7,mu=0.05,L=1,seed=2")
    if name == "diagonal quadratic":
        return problems.build("quadratic:d=7,mu=0.05,L=1,seed=2,basis=diagonal")
    if name == "sum of quadratics":
        return problems.build("quadratic-sum:n=5,d=4,indefinite=0.5")
    random = np.random.default_rng(3)
    A = random.standard_normal((19, 6))
    b = A @ random.standard_normal(6) / 2 + random.standard_normal(19)
    if name == "ridge":
        return LeastSquaresProblem.from_arrays(A, b, reg=0.05)
    return LogisticProblem.from_arrays(A, np.sign(b), reg=0.02)


def torch_loss(problem: Problem) -> Loss:
    """(1/n) sum_k w_k f_{i_k}(x), from the formula of the problem's class."""
    data, n = problem.data, problem.n
    own = {key: torch.from_numpy(np.asarray(value)) for key, value in data._asdict().items()}

    def quadratic(x: Tensor, indices: list[int], weights: list[float]) -> Tensor:
        z = x - own["minimiser"]
        return sum(weights) * (z @ own["H"] @ z) / 2

    def diagonal(x: Tensor, indices: list[int], weights: list[float]) -> Tensor:
        return sum(weights) * (own["h"] * x * x).sum() / 2

    def components(x: Tensor, indices: list[int], weights: list[float]) -> Tensor:
        z, w = x - own["minimiser"], torch.tensor(weights, dtype=torch.float64)
        values = torch.einsum("j,kji,i->k", z, own["H"][indices], z) / 2 + own["g"][indices] @ z
        return (w @ values) / n

    def linear(x: Tensor, indices: list[int], weights: list[float]) -> Tensor:
        w, rows, b = torch.tensor(weights, dtype=torch.float64), own["A"][indices], own["b"][indices]
        if isinstance(data, Logistic):
            losses = torch.nn.functional.softplus(-b * (rows @ x), threshold=1e3)
        else:
            losses = (rows @ x - b).square() / 2
        total: Tensor = w @ losses + data.reg / 2 * w.sum() * (x @ x)
        return total / n

    kinds: dict[type, Loss] = {
        DenseQuadratic: quadratic,
        DiagonalQuadratic: diagonal,
        QuadraticSum: components,
        LeastSquares: linear,
        Logistic: linear,
    }
    return kinds[type(data)]


def on_torch(setting: Setting, times: list[int]) -> Points:
    """The iterates at these times (K, d), x in two parameter tensors."""
    d = setting.problem.d
    cut = d // 2
    params = [torch.from_numpy(part.copy()).requires_grad_() for part in (setting.x0[:cut], setting.x0[cut:])]
    # The method carries its own mixing; a schedule of it stands in the SPEC.
    optimizer = SAMFamily(params, method=setting.method.name, rho=setting.rho, lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: float(setting.gamma.at(t)))
    loss = torch_loss(setting.problem)
    points = [setting.x0.copy()] if times[0] == 0 else []
    for t in range(times[-1]):
        indices, weights = drawn(setting.sampling.data, SEED, 0, t)

        def closure(indices: list[int] = indices, weights: list[float] = weights) -> Tensor:
            optimizer.zero_grad()
            value = loss(torch.cat(params), indices, weights)
            torch.autograd.backward(value)
            return value

        optimizer.step(closure)
        scheduler.step()
        if t + 1 in times:
            points.append(torch.cat(params).detach().numpy().copy())
    return np.array(points)


def on_engine(setting: Setting, times: list[int], *, nudged: bool = False) -> Points:
    """The iterates at these times (K, d) by the engine's loop; nudged: from a start 1 ulp away.

    Compiling every pair of problem and method takes a minute: two problems are run compiled with every method, the
    others by the same loop as plain Python.
    """
    start = np.nextafter(setting.x0, np.inf) if nudged else setting.x0
    plan: dict[str, Any] = {"times": np.array(times), "seed": SEED, "iterates": True, "threads": 1, "tier": "textbook"}
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):  # 64-bit words wrap around in the draws
        if not isinstance(setting.problem.data, LeastSquares | DenseQuadratic):
            patch.setattr(dispatch, "compiled_loop", lambda *classes, loop=advance: loop)
        run = simulate(setting, steps=times[-1], starts=start[None], **plan)
    assert run.diverged[0] == -1
    return np.asarray(run.points[0])


def setting_of(name: str, method: str, **steps: Any) -> Setting:
    """gamma = 0.3/L_S and rho = 0.2/L_S unless given as a SPEC in these units; the start lies off the origin."""
    problem = made(name)
    sampling = samplings.build(SAMPLINGS[name], problem=problem)
    L = max(problem.L.value, largest_smoothness(problem, sampling).value)
    start = problem.start + np.random.default_rng(7).standard_normal(problem.d) / math.sqrt(problem.d)
    chosen = {
        key: spec.format(unit=repr(size / L)) for (key, spec), size in zip(steps.items(), (0.3, 0.2), strict=True)
    }
    return make_setting(problem, sampling=sampling, method=methods.build(method), x0=start, **chosen)


CONSTANT = {"gamma": "{unit}", "rho": "{unit}"}


def assert_agrees(setting: Setting, times: list[int] | None = None) -> None:
    """At every time the two differ by at most 10 times what 1 ulp in the start does to the engine, plus 1e-12 of the
    largest value so far; and that is little enough (1e-9) for a wrong rule to stand out."""
    if times is None:
        # Without noise a normalised rule is soon at its cycle, whose phase rounding chooses.
        times = [0, 1, 2, 3, 10, 20] if setting.deterministic else [0, 1, 2, 3, 10, 25, 40]
    one, twin, other = on_engine(setting, times), on_engine(setting, times, nudged=True), on_torch(setting, times)

    def largest(sizes: Points) -> Points:
        return np.asarray(np.maximum.accumulate(np.abs(sizes).max(axis=1)))

    scale = largest(one)
    allowed = 10 * largest(one - twin) + 1e-12 * scale
    assert (allowed <= 1e-9 * scale).all(), f"the twins part: {setting}"
    excess = np.abs(one - other).max(axis=1) - allowed
    assert (excess <= 0).all(), f"off by {float((excess / scale).max()):.1e} of the largest value: {setting}"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SAMPLINGS)
def test_the_engine_and_the_bridge_agree(name: str, method: str) -> None:
    assert_agrees(setting_of(name, method, **CONSTANT))


SCHEDULES = (
    {"gamma": "cosine:start={unit},end=0.001,steps=50", "rho": "inverse-sqrt:start={unit}"},
    {"gamma": "inverse-sqrt:start={unit}", "rho": "cosine:start={unit},end=0.01,steps=50"},
    {"gamma": "decreasing:start={unit},mu=0.5", "rho": "inverse:start={unit},slope=2"},
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", SCHEDULES)
def test_they_agree_under_schedules(steps: dict[str, str], method: str) -> None:
    assert_agrees(setting_of("ridge", method, **steps))


@pytest.mark.parametrize("lam", ["inverse:start=1,slope=1", "one-minus-inverse", "linear:start=0.9,steps=30"])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_they_agree_under_schedules_of_the_mixing(name: str, lam: str) -> None:
    for steps in (CONSTANT, *SCHEDULES[:1]):
        assert_agrees(setting_of(name, f"unified-sam:lam={lam}", **steps))


@pytest.mark.parametrize("method", ["sam", "multi-sam:steps=2,ascent=projected,descent=average"])
def test_where_twins_part_the_plateau_agrees(method: str) -> None:
    """Rounding chooses the phase of the cycle at the bottom of a quadratic, not its radius: the last 200 gaps have the
    same mean."""
    setting = setting_of("quadratic", method, **CONSTANT)
    times = [0, *range(1001, 1201)]
    runs = on_engine(setting, times), on_engine(setting, times, nudged=True), on_torch(setting, times)
    gaps = [float(np.mean([setting.problem.gap(x) for x in points[1:]])) for points in runs]
    centre = setting.problem.data.minimiser
    norms = [float(np.linalg.norm(points[1:] - centre, axis=1).mean()) for points in runs]
    for one, twin, other in (gaps, norms):
        # The mean over a cycle is a function of the rule; 1e-6 leaves room for what is left of the way to it.
        assert other == pytest.approx(one, rel=10 * abs(twin / one - 1) + 1e-6)


# -- a wrong rule is noticed --


def test_a_wrong_sign_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ascent.perturbation_scale
    monkeypatch.setattr(ascent, "perturbation_scale", lambda rho, lam, size: -right(rho, lam, size))
    for method in METHODS[1:]:
        for name in ("ridge", "diagonal quadratic"):
            with pytest.raises(AssertionError, match="off by"):
                assert_agrees(setting_of(name, method, **CONSTANT), [0, 1, 3])


def test_a_slightly_wrong_factor_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One part in 10^9 of SSAM's factor; an epsilon of 1e-8 beside the norm, as other implementations add."""
    right = descent.renormalisation
    monkeypatch.setattr(descent, "renormalisation", lambda a, b: right(a, b) * (1 + 1e-9))
    with pytest.raises(AssertionError, match="off by"):
        assert_agrees(setting_of("ridge", "ssam:ascent=normalised", **CONSTANT))
    scale = ascent.perturbation_scale
    monkeypatch.setattr(ascent, "perturbation_scale", lambda rho, lam, size: scale(rho, lam, size + 1e-8))
    with pytest.raises(AssertionError, match="off by"):
        assert_agrees(setting_of("ridge", "sam", **CONSTANT))


def test_other_draws_are_noticed() -> None:
    setting = setting_of("ridge", "sam", **CONSTANT)
    times = [0, 1, 5]
    right = on_engine(setting, times)
    run = simulate(setting, steps=5, times=np.array(times), seed=SEED + 1, iterates=True, tier="textbook")
    assert np.abs(run.points[0] - right).max() > 1e-3
