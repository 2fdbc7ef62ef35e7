"""Networks side by side: each as if it were alone, each rule as the compiled engine has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.engine.run import simulate
from experiments.net.batches import draw_batches
from experiments.net.ensemble import Curves, starts, train
from experiments.net.objective import Objective
from experiments.net.rules import rule_of
from problems.errors import InputError
from problems.glm import LeastSquaresProblem
from tests.net.examples import Quadratic, build_mlp, dense_hessian, mlp, quadratic
from tests.strategies import drawn
from theory.methods.method import methods
from theory.samplings import Sampling, full, independent, replacement, samplings, single, tau_nice
from theory.schedules import read_schedule
from theory.setting import make_setting

torch.set_num_threads(1)

PATHS = [f"multi-sam:steps=3,ascent={a},descent={d}" for a in ("budget", "fixed", "projected", "power")
         for d in ("last", "average", "average-start")]  # fmt: skip
METHODS = [
    "sgd",
    "gd",
    "sam",
    "usam",
    "unified-sam:lam=0.5",
    "unified-sam:lam=inverse:start=1,slope=1",
    "gsam:alpha=0.3",
    "gsam:alpha=-0.2",
    "ssam",
    "ssam:ascent=normalised",
    "multi-sam:steps=1",
    *PATHS,
    "multi-sam:steps=3,ascent=fixed,descent=lookbehind,alpha=0.4",
]
QUADRATIC = quadratic(n=12, d=4)
S = 3
FAR = 5 * np.random.default_rng(7).standard_normal((S, 4))


def close(found: NDArray[np.float64], alone: NDArray[np.float64], twins: list[NDArray[np.float64]]) -> bool:
    """Within 10 times what one ulp in the start does, plus 1e-12 of the size: the agreement of two implementations."""
    gap = max(float(np.abs(twin - alone).max()) for twin in twins)
    return float(np.abs(found - alone).max()) <= 10 * gap + 1e-12 * max(1.0, float(np.abs(alone).max()))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("sampling", [full(12), tau_nice(12, 3), single(np.full(12, 1 / 12))], ids=lambda s: s.name)
def test_each_rule_is_the_engines(name: str, sampling: Sampling) -> None:
    """On the same samples, from starts far enough that 25 steps stay above SAM's cycle, whose phase is rounding's."""
    method = methods.build(name)
    steps, gamma, rho = 25, "cosine:start=0.2,end=0.05,steps=20", 0.15
    setting = make_setting(
        QUADRATIC.problem, sampling=sampling, method=method, gamma=read_schedule(gamma, argument="gamma"), rho=rho
    )

    def engine(x: NDArray[np.float64]) -> NDArray[np.float64]:
        run = simulate(
            setting, steps=steps, times=np.arange(steps + 1), replicates=S, seed=11, starts=x, iterates=True,
            gradients=False, tier="textbook", threads=1,
        )  # fmt: skip
        return np.concatenate([run.points[:, -1], run.points[:, steps // 2]])

    found = np.concatenate(
        [
            train(
                QUADRATIC.objective, torch.tensor(FAR), steps=T, gamma=gamma, rho=rho, method=name, sampling=sampling,
                seeds=[11] * S, times=[T],
            ).x.numpy()
            for T in (steps, steps // 2)
        ]
    )  # fmt: skip
    alone = engine(FAR)
    assert close(found, alone, [engine(np.nextafter(FAR, sign)) for sign in (np.inf, -np.inf)])


def test_rules_differ() -> None:
    """What the agreement above could not see if all rules were one."""
    found = {
        name: tuple(
            train(QUADRATIC.objective, torch.tensor(FAR), steps=3, gamma=0.2, rho=0.15, method=name).x[0].tolist()
        )
        for name in METHODS
        if name not in ("gd", "multi-sam:steps=1", "unified-sam:lam=inverse:start=1,slope=1")
    }
    # The first steps of the projected and the power rule end on the same sphere.
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("name", [name for name in METHODS if "lookbehind" not in name])
def test_no_radius_is_bitwise_sgd(name: str) -> None:
    objective = mlp()
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2])
    options: dict[str, Any] = {"steps": 6, "gamma": 0.3, "sampling": tau_nice(40, 7)}
    base = train(objective, x0, **options).x
    assert torch.equal(train(objective, x0, rho=0.0, method=name, **options).x, base)
    assert not torch.equal(base, x0)


@pytest.mark.parametrize("name", METHODS)
def test_a_zero_gradient_is_safe(name: str) -> None:
    """A network at rest beside one that moves: nothing of it moves, and nothing is NaN."""
    q = QUADRATIC.objective
    still = Objective(q.model, q.inputs, torch.zeros(12, 1).double(), loss="squared")
    x0 = torch.tensor(np.stack([np.zeros(4), FAR[0]]))
    found = train(still, x0, steps=3, gamma=0.1, rho=0.2, method=name)
    assert torch.equal(found.x[0], x0[0])
    assert torch.isfinite(found.x).all()
    assert (found.diverged == -1).all()


def members(objective: Objective, x0: Tensor, k: int | None, **options: Any) -> Curves:
    """The whole ensemble, or member k of it alone."""
    if k is None:
        return train(objective, x0, seeds=[5, 5, 8], replicates=[0, 1, 0], **options)
    for name in ("gamma", "rho"):
        if isinstance(options.get(name), list):
            options = options | {name: options[name][k]}
    return train(objective, x0[k : k + 1], seeds=[[5, 5, 8][k]], replicates=[[0, 1, 0][k]], **options)


@pytest.mark.parametrize("name", ["sgd", "sam", "gsam:alpha=0.3", "ssam", "multi-sam:steps=2,ascent=projected"])
@pytest.mark.parametrize("sampling", [full(40), tau_nice(40, 8)], ids=lambda s: s.name)
def test_a_member_is_what_it_is_alone(name: str, sampling: Sampling) -> None:
    objective = mlp()
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2, 3])
    options: dict[str, Any] = {
        "steps": 10, "gamma": [0.1, "inverse:start=0.3,slope=0.1", 0.5], "rho": [0.0, 0.05, 0.1], "method": name,
        "sampling": sampling, "times": [0, 10], "top_steps": 4, "reference": objective.start,
        "direction": torch.eye(objective.d, dtype=torch.float64)[0],
    }  # fmt: skip
    together = members(objective, x0, None, **options)
    for k in range(3):
        alone, *twins = (
            members(objective, start, k, **options)
            for start in (x0, torch.nextafter(x0, x0 + 1), torch.nextafter(x0, x0 - 1))
        )
        assert close(together.x[k].numpy(), alone.x[0].numpy(), [twin.x[0].numpy() for twin in twins])
        for curve in ("loss", "gradient_norm", "top", "component"):
            one, others = getattr(alone, curve)[0], [getattr(twin, curve)[0] for twin in twins]
            assert close(getattr(together, curve)[k], one, others), curve


def test_one_network_by_the_rule_itself() -> None:
    """The rule on one vector, without any batch axis, against the ensemble."""
    objective = mlp()
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2, 3])
    for name in ("gsam:alpha=0.3", "multi-sam:steps=3,ascent=projected,descent=average", "unified-sam"):
        rule = rule_of(methods.build(name))
        gamma, rho, lam, alpha = torch.tensor([0.3, 0.05, 0.5, 0.3], dtype=torch.float64)

        def run(x: Tensor, rule: Any = rule, options: Any = (gamma, rho, lam, alpha)) -> NDArray[np.float64]:
            gamma, rho, lam, alpha = options
            for _ in range(10):
                x = rule(objective.gradient, x, gamma=gamma, rho=rho, lam=lam, alpha=alpha).x
            return x.numpy()

        found = train(objective, x0, steps=10, gamma=0.3, rho=0.05, method=name)
        twins = [run(torch.nextafter(x0[1], x0[1] + sign)) for sign in (1, -1)]
        assert close(found.x[1].numpy(), run(x0[1]), twins), name


@pytest.mark.parametrize("name", METHODS)
def test_gradients_whose_square_underflows(name: str) -> None:
    """||g||^2 is 0 there and g is not: the engine's rules for that, or NaN and infinity come out."""
    x0 = FAR * 1e-170
    q = QUADRATIC.objective
    objective = Objective(q.model, q.inputs, torch.zeros(12, 1).double(), loss="squared", reg=0.1)
    problem = LeastSquaresProblem(A=QUADRATIC.A, b=np.zeros(12), reg=0.1, name="at rest")
    setting = make_setting(problem, method=methods.build(name), gamma=0.1, rho=0.2)
    run = simulate(setting, steps=2, replicates=S, starts=x0, tier="textbook", threads=1)
    found = train(objective, torch.tensor(x0), steps=2, gamma=0.1, rho=0.2, method=name, times=[2])
    # Two steps of a dozen roundings each, at this size.
    assert np.allclose(found.x.numpy(), run.x, rtol=1e-13, atol=1e-183)


def test_no_way_back_from_a_flat_place() -> None:
    """A power step leads where the gradient is 0: the path stays there, and so does the network."""
    rule = rule_of(methods.build("multi-sam:steps=2,ascent=power"))
    numbers = {name: torch.tensor(0.5, dtype=torch.float64) for name in ("gamma", "rho", "lam", "alpha")}
    x = torch.tensor([0.9], dtype=torch.float64)
    assert torch.equal(rule(lambda z: torch.where(z > 1, torch.zeros_like(z), z), x, **numbers).x, x)


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_change_nothing_but_memory(chunk: int) -> None:
    objective = mlp()
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2, 3])
    options: dict[str, Any] = {
        "steps": 5, "gamma": 0.3, "rho": 0.05, "method": "sam", "sampling": tau_nice(40, 8), "top_steps": 5
    }  # fmt: skip
    whole, parted = train(objective, x0, **options), train(objective, x0, chunk=chunk, **options)
    twin = train(objective, torch.nextafter(x0, x0 + 1), **options)
    assert close(parted.x.numpy(), whole.x.numpy(), [twin.x.numpy()])
    assert close(parted.top, whole.top, [twin.top])


def test_a_sweep_over_alpha() -> None:
    objective = mlp()
    x0 = objective.start.expand(3, -1)
    together = train(objective, x0, steps=5, gamma=0.3, rho=0.1, method="gsam", alpha=[0.0, 0.1, 2.0])
    sam = train(objective, x0[:1], steps=5, gamma=0.3, rho=0.1, method="sam")
    own = train(objective, x0[:1], steps=5, gamma=0.3, rho=0.1, method="gsam")
    # Matrix products of one and of three networks round differently; 5 steps add little.
    assert torch.allclose(together.x[0], sam.x[0], rtol=1e-12, atol=1e-13)
    assert torch.allclose(together.x[1], own.x[0], rtol=1e-12, atol=1e-13)
    assert float((together.x[2] - together.x[1]).abs().max()) > 1e-6


@pytest.mark.parametrize(
    "sampling",
    [tau_nice(9, 4), tau_nice(9, 9), single(np.arange(1, 10) / 45), replacement(np.arange(9) / 36, 5)],
    ids=lambda s: s.name,
)
def test_samples_are_the_engines(sampling: Sampling) -> None:
    seeds, replicates = np.array([3, 2**62, 3]), np.array([0, 1, 77])
    found = draw_batches(sampling, seeds=seeds, replicates=replicates, first=5, last=40)
    for s in range(3):
        for t in range(5, 40):
            indices, weights = drawn(sampling.data, int(seeds[s]), int(replicates[s]), t)
            assert found.indices[s, t - 5].tolist() == indices
            assert found.weights[s, t - 5].tolist() == weights


def test_a_batch_that_grows() -> None:
    sampling = samplings.build("tau-nice:tau=doubling:start=2,every=4,most=8", problem=QUADRATIC.problem)
    setting = make_setting(
        QUADRATIC.problem, sampling=sampling, method=methods.build("sam"), gamma=0.1, rho=0.1, x0=FAR[0]
    )
    run = simulate(setting, steps=15, replicates=2, seed=4, tier="textbook", threads=1)
    x0 = torch.tensor(FAR[0]).expand(2, -1)
    found = train(QUADRATIC.objective, x0, steps=15, gamma=0.1, rho=0.1, method="sam", sampling=sampling, seeds=[4, 4])
    # 15 steps of a few roundings each, far from the cycle.
    assert np.allclose(found.x.numpy(), run.x, rtol=1e-12, atol=1e-12)


def test_curves() -> None:
    objective = mlp()
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2])
    v = torch.randn(2, objective.d, generator=torch.Generator().manual_seed(0)).double()
    found = train(
        objective, x0, steps=4, gamma=0.5, times=[0, 0, 4], top_steps=40, reference=objective.start, direction=v
    )
    assert found.loss.shape == found.top.shape == found.component.shape == (2, 3)
    assert np.array_equal(found.loss[:, 0], found.loss[:, 1])
    for k in range(2):
        for column, x in ((0, x0[k]), (2, found.x[k])):
            # One network or two in a matrix product: another order of the same sums.
            assert found.loss[k, column] == pytest.approx(float(objective.value(x)), rel=1e-12)
            assert found.gradient_norm[k, column] == pytest.approx(float(objective.gradient(x).norm()), rel=1e-11)
            assert found.component[k, column] == pytest.approx(float((x - objective.start) @ v[k]), rel=1e-11)
            exact = torch.linalg.eigvalsh(dense_hessian(objective, x))
            assert float((exact - found.top[k, column]).abs().min()) <= found.top_residual[k, column] + 1e-12
            # 40 Krylov vectors of 105 dimensions settle the top of this spectrum.
            assert found.top[k, column] == pytest.approx(float(exact[-1]), rel=1e-8)
    plain = train(objective, x0, steps=100, gamma=0.1)
    assert plain.top.shape == plain.component.shape == (2, 0)
    assert plain.times[0] == 0
    assert plain.times[-1] == 100
    assert len(plain.times) == 62


def test_few_lanczos_steps_follow_the_top_eigenvalue() -> None:
    """Started from the last vector, 6 steps at each record are as good as 40."""
    objective = mlp()
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2])
    found = train(objective, x0, steps=30, gamma=0.5, top_steps=6, times=np.arange(31))
    exact = [float(torch.linalg.eigvalsh(dense_hessian(objective, x))[-1]) for x in found.x]
    assert found.top[:, -1] == pytest.approx(exact, rel=1e-3)


def test_one_that_diverges_stops_alone() -> None:
    x0 = torch.tensor(FAR)
    options: dict[str, Any] = {"steps": 60, "rho": 0.1, "method": "usam", "times": [0, 50, 60], "top_steps": 3}
    found = train(QUADRATIC.objective, x0, gamma=[0.1, 1e6, 0.1], **options)
    assert found.diverged[0] == found.diverged[2] == -1
    assert 0 < found.diverged[1] <= 50
    assert np.isfinite(found.loss[[0, 2]]).all()
    assert np.isfinite(found.loss[1, 0])
    for curve in (found.loss, found.gradient_norm, found.top):
        assert np.isnan(curve[1, 1:]).all()
    alone = train(QUADRATIC.objective, x0[:1], gamma=0.1, **options)
    # 60 steps of a contraction: what is left is rounding.
    assert torch.allclose(found.x[0], alone.x[0], rtol=1e-10, atol=1e-12)


def test_starts_are_those_of_their_seeds() -> None:
    torch.manual_seed(9)
    before = torch.random.get_rng_state()
    rows = starts(lambda: torch.nn.Linear(3, 2), [4, 5, 4])
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], rows[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_gives_the_same() -> None:
    there = mlp()
    inputs, targets = there.inputs.cuda(), there.targets.cuda()
    here = Objective(build_mlp(8, 5, 0), there.inputs, there.targets, reg=0.01)
    away = Objective(build_mlp(8, 5, 0).cuda(), inputs, targets, reg=0.01)
    x0 = starts(lambda: build_mlp(8, 5, torch.initial_seed()), [1, 2])
    options: dict[str, Any] = {
        "steps": 10, "gamma": 0.3, "rho": 0.05, "method": "sam", "sampling": tau_nice(40, 8), "top_steps": 5
    }  # fmt: skip
    # Other kernels, other roundings, and 10 steps.
    assert np.allclose(train(away, x0.cuda(), **options).top, train(here, x0, **options).top, rtol=1e-9)


Call = Callable[[Quadratic, Tensor], Any]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda q, x: train(q.objective, x[0], steps=1, gamma=0.1), r"x0 must have shape \(S, 4\)"),
        (lambda q, x: train(q.objective, x[:, :3], steps=1, gamma=0.1), r"x0 must have shape \(S, 4\)"),
        (lambda q, x: train(q.objective, x / 0, steps=1, gamma=0.1), "x0 holds NaN or infinite"),
        (lambda q, x: train(q.objective, x, steps=0, gamma=0.1), "steps must be a whole number >= 1, got 0"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=-0.1), "gamma must be >= 0, got -0.1"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=[0.1, 0.2]), "one for each of the 3 networks, got 2"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, rho=-1), "rho must be >= 0, got -1"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, lam=2), r"lam must be in \[0, 1\], got 2"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, alpha=0.1), "alpha is not read by method 'sgd'"),
        (
            lambda q, x: train(q.objective, x, steps=1, gamma=0.1, method="gsam", alpha=[1.0, 2.0]),
            "alpha must be one finite number, or one for each of the 3 networks",
        ),
        (
            lambda q, x: train(
                q.objective, x, steps=1, gamma=0.1, method="multi-sam:ascent=fixed,descent=lookbehind", alpha=2.0
            ),
            r"alpha of method 'multi-sam' must be in \(0, 1\], got 2.0",
        ),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, method="adam"), "adam"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, sampling=full(5)), "of n = 12 examples, got 5"),
        (
            lambda q, x: train(q.objective, x, steps=1, gamma=0.1, sampling=independent(np.full(12, 0.5))),
            "sampling must be uniform, importance, single, tau-nice or replacement",
        ),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, seeds=[1]), "seeds must be one for each of the 3"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, seeds=[1, 2, -3]), "seeds must be a whole number"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, times=[0, 2]), r"lie in 0..1, got \[0, 2\]"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, times=[]), "times must be whole numbers"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, times=["a"]), "times must be whole numbers"),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, reference=x), "both or neither"),
        (
            lambda q, x: train(q.objective, x, steps=1, gamma=0.1, reference=x, direction=x[:, 0]),
            "direction must be finite, of shape",
        ),
        (lambda q, x: train(q.objective, x, steps=1, gamma=0.1, chunk=0), "chunk must be a whole number >= 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(call: Call, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call(QUADRATIC, torch.tensor(FAR))


def test_a_method_without_a_rule_is_refused() -> None:
    with pytest.raises(InputError, match="method must be sgd, sam"):
        rule_of(methods.build("projected-sgd:radius=1"))
