"""One optimiser for the whole family: its rules, its degenerate cases, what it keeps and what it leaves alone."""

from __future__ import annotations

import copy
import functools
import io
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.net.bench import step_ratios
from experiments.net.optimizer import SAMFamily
from problems.errors import InputError
from theory.schedules import Schedule, constant, read_schedule

Gradient = Callable[[Tensor], Tensor]
Rule = Callable[[Gradient, Tensor, float], Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors: threads would only make them slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- a small smooth problem, as a function of one vector and as parameters --

SHAPES = ((4, 3), (4,), (2, 4), (2,))


def pieces(x: Tensor) -> list[Tensor]:
    parts = torch.split(x, [math.prod(shape) for shape in SHAPES])
    return [part.view(shape) for part, shape in zip(parts, SHAPES, strict=True)]


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


class Task:
    """A network with one hidden layer on a batch that changes with the step."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        random = torch.Generator().manual_seed(seed)
        self.start = torch.randn(30 - 4, generator=random, dtype=torch.float64).to(dtype)
        self.inputs = torch.randn(40, 3, generator=random, dtype=torch.float64).to(dtype)
        self.targets = torch.randn(40, 2, generator=random, dtype=torch.float64).to(dtype)

    def loss(self, tensors: list[Tensor], t: int) -> Tensor:
        W, b, V, c = tensors
        rows = slice(8 * (t % 5), 8 * (t % 5) + 8)
        outputs = torch.tanh(self.inputs[rows] @ W.T + b) @ V.T + c
        return (outputs - self.targets[rows]).square().sum(dim=1).mean() / 2

    def gradient(self, t: int) -> Gradient:
        def of(x: Tensor) -> Tensor:
            y = x.detach().clone().requires_grad_()
            return torch.autograd.grad(self.loss(pieces(y), t), y)[0]

        return of

    def parameters(self) -> list[Tensor]:
        return [part.clone().requires_grad_() for part in pieces(self.start)]


def train(
    optimizer: torch.optim.Optimizer, params: list[Tensor], task: Task, steps: int, *, first: int = 0
) -> list[Tensor]:
    """The iterates after each step."""
    points = []
    for t in range(first, first + steps):

        def closure(t: int = t) -> float:
            optimizer.zero_grad()
            loss = task.loss(params, t)
            torch.autograd.backward(loss)
            return loss  # type: ignore[return-value]

        optimizer.step(closure)
        points.append(flat(params))
    return points


def run(method: str, *, steps: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> Tensor:
    task = Task(seed, dtype)
    params = task.parameters()
    return torch.stack(train(SAMFamily(params, method=method, **{"lr": 0.1, **options}), params, task, steps))


# -- the rules a second time, on one vector, from the equations in theory/methods --

RHO, GAMMA = 0.3, 0.1


def unit(g: Tensor) -> Tensor:
    return g / g.norm() if g.norm() > 0 else torch.zeros_like(g)


def sgd(grad: Gradient, x: Tensor, rho: float) -> Tensor:
    return grad(x)


def mixed(lam: float) -> Rule:
    def rule(grad: Gradient, x: Tensor, rho: float) -> Tensor:
        g = grad(x)
        return grad(x + rho * ((1 - lam) * g + lam * unit(g)))

    return rule


def gsam(alpha: float) -> Rule:
    def rule(grad: Gradient, x: Tensor, rho: float) -> Tensor:
        g = grad(x)
        gp = grad(x + rho * unit(g))
        return gp - alpha * (g - (g @ gp) / (gp @ gp) * gp)

    return rule


def ssam(normalised: bool) -> Rule:
    def rule(grad: Gradient, x: Tensor, rho: float) -> Tensor:
        g = grad(x)
        ga = grad(x + rho * (unit(g) if normalised else g))
        rescaled: Tensor = g.norm() / ga.norm() * ga
        return rescaled

    return rule


def multi(n: int, ascent: str, descent: str, alpha: float = 0.5) -> Rule:
    def rule(grad: Gradient, x: Tensor, rho: float) -> Tensor:
        z, gradients = x, [grad(x)]
        for _ in range(n):
            u = unit(gradients[-1])
            if ascent == "budget":
                z = z + rho / n * u
            elif ascent == "power":
                z = x + rho * u
            else:
                z = z + rho * u
            if ascent == "projected" and (z - x).norm() > rho:
                z = x + rho * unit(z - x)
            gradients.append(grad(z))
        if descent == "last":
            return gradients[-1]
        if descent == "average":
            return sum(gradients[1:], torch.zeros_like(x)) / n
        if descent == "average-start":
            return sum(gradients, torch.zeros_like(x)) / (n + 1)
        return alpha * sum(gradients[1:], torch.zeros_like(x))

    return rule


RULES: dict[str, Rule] = {
    "sgd": sgd,
    "sam": mixed(1.0),
    "usam": mixed(0.0),
    "unified-sam:lam=0.4": mixed(0.4),
    "gsam:alpha=0.4": gsam(0.4),
    "gsam:alpha=-0.2": gsam(-0.2),
    "ssam": ssam(False),
    "ssam:ascent=normalised": ssam(True),
    **{
        f"multi-sam:steps=3,ascent={ascent},descent={descent}": multi(3, ascent, descent)
        for ascent in ("budget", "fixed", "projected", "power")
        for descent in ("last", "average", "average-start")
    },
    "multi-sam:steps=2,ascent=fixed,descent=lookbehind,alpha=0.7": multi(2, "fixed", "lookbehind", 0.7),
}
PERTURBED = [method for method in RULES if method != "sgd"]


@pytest.mark.parametrize("method", RULES)
def test_equals_a_second_implementation(method: str) -> None:
    found, task = run(method, rho=RHO), Task()
    x = task.start
    for t, point in enumerate(found):
        x = x - GAMMA * RULES[method](task.gradient(t), x, RHO)
        # Two orders of the same operations in float64: a few hundred roundings of 1e-16 of numbers of order 1.
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", PERTURBED)
def test_no_method_is_silently_sgd(method: str) -> None:
    """Each method's first step lies off the base optimiser's, and off every other's, by far more than rounding."""
    first = run(method, rho=RHO, steps=1)[0]
    others = {name: run(name, rho=RHO, steps=1)[0] for name in RULES if name != method}
    for name, other in others.items():
        assert (first - other).norm() > 1e-6, name


# -- the defects of other implementations --


def test_a_first_call_without_a_backward_pass_is_a_whole_sam_step() -> None:
    x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = SAMFamily([x], rho=0.05, lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x * x).sum()
        torch.autograd.backward(loss)
        return loss

    assert optimizer.step(closure).item() == 1.0  # the loss at x
    assert x.item() == pytest.approx(1 - 0.2 * 1.05, rel=1e-15)  # 0.8 would be SGD


def test_a_backward_pass_before_the_step_changes_nothing() -> None:
    task = Task()
    params = task.parameters()
    torch.autograd.backward(task.loss(params, 0))
    points = train(SAMFamily(params, rho=RHO, lr=GAMMA), params, task, 6)
    torch.testing.assert_close(torch.stack(points), run("sam", rho=RHO), rtol=0, atol=0)


def test_the_step_counter_is_in_the_state_dict() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, method="unified-sam", lam="inverse:start=1,slope=1", lr=GAMMA)
    train(optimizer, params, task, 10)
    assert optimizer.t == 10
    assert optimizer.state_dict()["param_groups"][0]["t"] == 10
    again = SAMFamily(task.parameters(), method="unified-sam", lam="inverse:start=1,slope=1", lr=GAMMA)
    again.load_state_dict(optimizer.state_dict())
    assert again.t == 10
    assert again.in_force() == optimizer.in_force() == [{"rho": 0.05, "lam": 1 / 11}]


@pytest.mark.parametrize("method", RULES)
def test_a_zero_gradient_gives_no_nan_and_no_step(method: str) -> None:
    x = torch.zeros(3, requires_grad=True)
    optimizer = SAMFamily([x], method=method, rho=RHO, lr=GAMMA)
    for _ in range(2):
        optimizer.step(_closure(optimizer, lambda: x.square().sum()))
    assert torch.equal(x.detach(), torch.zeros(3))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros(3))


def test_without_a_perturbation_the_iterates_of_sgd() -> None:
    """0.9, 0.81, 0.729, 0.656 on x^2/2: no step is lost, none is half."""
    for method in RULES:
        if "lookbehind" in method:
            continue
        x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        optimizer = SAMFamily([x], method=method, rho=0.0, lr=0.1)
        seen = []
        for _ in range(4):
            optimizer.step(_closure(optimizer, functools.partial(_half_square, x)))
            seen.append(x.item())
        assert seen == pytest.approx([0.9, 0.81, 0.729, 0.6561], rel=1e-15)


def _half_square(x: Tensor) -> Tensor:
    return x.square().sum() / 2


def _closure(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return value

    return closure


# -- rho = 0 --

BASES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD with momentum": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "Adam": torch.optim.Adam,
    "AdamW with amsgrad": functools.partial(torch.optim.AdamW, lr=0.05, amsgrad=True),
    "Adadelta": functools.partial(torch.optim.Adadelta, rho=0.8),
    "Adagrad": torch.optim.Adagrad,
    "Adamax": torch.optim.Adamax,
    "ASGD": functools.partial(torch.optim.ASGD, alpha=0.7, t0=2),
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": functools.partial(torch.optim.RMSprop, alpha=0.9, momentum=0.5),
    "Rprop": torch.optim.Rprop,
    "Adafactor": torch.optim.Adafactor,
    "fused AdamW": functools.partial(torch.optim.AdamW, fused=True),
}


@pytest.mark.parametrize("base", BASES)
def test_rho_zero_is_bitwise_the_base_optimiser(base: str) -> None:
    task = Task(dtype=torch.float32)
    own = task.parameters()
    plain = train(BASES[base](own), own, task, 8)
    for method in ("sgd", "sam", "gsam:alpha=0.4", "ssam", "multi-sam:steps=2,descent=average"):
        params = task.parameters()
        points = train(SAMFamily(params, BASES[base], method=method, rho=0.0), params, task, 8)
        assert all(torch.equal(a, b) for a, b in zip(points, plain, strict=True)), method


@pytest.mark.parametrize("base", BASES)
def test_every_base_takes_its_own_step_along_the_direction(base: str) -> None:
    """SAM around any base is that base fed with the gradient at the perturbed point; its options stay its own."""
    task = Task(dtype=torch.float32)
    params = task.parameters()
    optimizer = SAMFamily(params, BASES[base], rho=RHO)
    points = train(optimizer, params, task, 5)
    own = task.parameters()
    plain = BASES[base](own)
    for t in range(5):
        x = flat(own)
        g = task.gradient(t)(x)
        gp = task.gradient(t)(x + RHO * (1 / g.norm()) * g)
        for p, part in zip(own, pieces(gp), strict=True):
            p.grad = part.clone()
        plain.step()
        # float32, and Rprop and Adagrad divide by gradients: a rounding of 1e-7 grows a little within 5 steps.
        torch.testing.assert_close(points[t], flat(own), rtol=1e-4, atol=1e-5)
    for key, value in plain.param_groups[0].items():
        if key != "params":
            assert optimizer.param_groups[0][key] == value


def test_rho_zero_costs_one_gradient_and_otherwise_one_for_each_point() -> None:
    counts = {}
    for method, rho in (("sgd", 0.1), ("sam", 0.0), ("sam", 0.1), ("multi-sam:steps=4", 0.1)):
        x = torch.ones(2, requires_grad=True)
        optimizer = SAMFamily([x], method=method, rho=rho, lr=0.1)
        calls: list[int] = []

        def loss(x: Tensor = x, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            return x.square().sum()

        optimizer.step(_closure(optimizer, loss))
        counts[method, rho] = len(calls)
    assert counts == {("sgd", 0.1): 1, ("sam", 0.0): 1, ("sam", 0.1): 2, ("multi-sam:steps=4", 0.1): 5}


def test_lookbehind_without_a_radius_is_a_longer_step() -> None:
    found = run("multi-sam:steps=2,ascent=fixed,descent=lookbehind,alpha=0.75", rho=0.0, lr=0.1)
    # To rounding: the gradient is multiplied, not the step size.
    torch.testing.assert_close(found, run("sgd", lr=0.15), rtol=0, atol=1e-14)


# -- identities between methods --


@pytest.mark.parametrize("ascent", ["budget", "fixed", "projected", "power"])
@pytest.mark.parametrize("descent", ["last", "average"])
def test_one_ascent_step_is_bitwise_sam(ascent: str, descent: str) -> None:
    found = run(f"multi-sam:steps=1,ascent={ascent},descent={descent}", rho=RHO, dtype=torch.float32)
    assert torch.equal(found, run("sam", rho=RHO, dtype=torch.float32))


@pytest.mark.parametrize(
    ("method", "options", "same"),
    [
        ("gsam", {"alpha": 0.0}, "sam"),
        ("unified-sam", {"lam": 1.0}, "sam"),
        ("unified-sam", {"lam": 0}, "usam"),
        ("unified-sam", {"lam": 0.3}, "unified-sam:lam=0.3"),
        ("unified-sam", {}, "unified-sam:lam=0.5"),
        ("gsam", {}, "gsam:alpha=0.1"),
        ("ssam", {"ssam": "normalised"}, "ssam:ascent=normalised"),
        ("multi-sam", {"ascent_steps": 2, "ascent": "power", "descent": "average"},
         "multi-sam:steps=2,ascent=power,descent=average"),
        ("multi-sam", {"ascent": "fixed", "descent": "lookbehind", "alpha": 0.25},
         "multi-sam:steps=3,ascent=fixed,descent=lookbehind,alpha=0.25"),
        ("gd", {}, "sgd"),
    ],
)  # fmt: skip
def test_arguments_and_specs_say_the_same(method: str, options: dict[str, Any], same: str) -> None:
    assert torch.equal(run(method, rho=RHO, **options), run(same, rho=RHO))


@settings(max_examples=25)
@given(
    method=st.sampled_from(list(RULES)),
    order=st.permutations(range(4)),
    cuts=st.lists(st.booleans(), min_size=3, max_size=3),
    rho=st.floats(0, 2),
    seed=st.integers(0, 99),
)
def test_groups_and_their_order_change_nothing(
    method: str, order: list[int], cuts: list[bool], rho: float, seed: int
) -> None:
    """One norm over all groups: any partition of the parameters, in any order, makes the same iterates."""
    task = Task(seed)
    params = task.parameters()
    groups: list[list[Tensor]] = [[]]
    for place, cut in zip(order, [False, *cuts], strict=True):
        if cut:
            groups.append([])
        groups[-1].append(params[place])
    optimizer = SAMFamily([{"params": group} for group in groups], method=method, rho=rho, lr=GAMMA)
    points = torch.stack(train(optimizer, params, task, 3))
    # Only the order of the sums in the norms differs.
    torch.testing.assert_close(points, run(method, rho=rho, seed=seed, steps=3), rtol=1e-11, atol=1e-11)


@settings(max_examples=25)
@given(method=st.sampled_from(list(RULES)), rho=st.floats(0, 1), gamma=st.floats(1e-3, 0.3), seed=st.integers(0, 99))
def test_any_radius_and_step_size_follow_the_equations(method: str, rho: float, gamma: float, seed: int) -> None:
    task = Task(seed)
    x = task.start
    for t, point in enumerate(run(method, rho=rho, lr=gamma, seed=seed, steps=3)):
        x = x - gamma * RULES[method](task.gradient(t), x, rho)
        # As above; GSAM divides by ||gp||^2, which may be small.
        torch.testing.assert_close(point, x, rtol=1e-10, atol=1e-11)


# -- numbers in groups, schedules --


def test_groups_have_their_own_radii() -> None:
    """x_k + rho_k g_k/||g||, the norm over all groups; a group with rho = 0 stays."""
    task = Task()
    params = task.parameters()
    groups = [{"params": params[:2], "rho": 0.4}, {"params": params[2:3], "rho": 0.0}, {"params": params[3:]}]
    points = train(SAMFamily(groups, rho=0.1, lr=GAMMA), params, task, 3)
    radii = flat([torch.full_like(p, rho) for p, rho in zip(params, (0.4, 0.4, 0.0, 0.1), strict=True)])
    x = task.start
    for t, point in enumerate(points):
        grad = task.gradient(t)
        x = x - GAMMA * grad(x + radii * unit(grad(x)))
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


def test_groups_have_their_own_alpha() -> None:
    """The products of GSAM run over all groups, one with alpha = 0 too."""
    task = Task()
    params = task.parameters()
    groups = [{"params": params[:2], "alpha": 0.0}, {"params": params[2:], "alpha": 0.6}]
    points = train(SAMFamily(groups, method="gsam", rho=RHO, lr=GAMMA), params, task, 3)
    weights = flat([torch.full_like(p, alpha) for p, alpha in zip(params, (0.0, 0.0, 0.6, 0.6), strict=True)])
    x = task.start
    for t, point in enumerate(points):
        grad = task.gradient(t)
        g = grad(x)
        gp = grad(x + RHO * unit(g))
        x = x - GAMMA * (gp - weights * (g - (g @ gp) / (gp @ gp) * gp))
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


def test_projection_with_several_radii_is_onto_the_ellipsoid() -> None:
    task = Task()
    params = task.parameters()
    groups = [{"params": params[:2], "rho": 0.4}, {"params": params[2:], "rho": 0.1}]
    optimizer = SAMFamily(groups, method="multi-sam:steps=3,ascent=projected", lr=GAMMA)
    points = train(optimizer, params, task, 2)
    radii = flat([torch.full_like(p, rho) for p, rho in zip(params, (0.4, 0.4, 0.1, 0.1), strict=True)])
    x = task.start
    for t, point in enumerate(points):
        grad, away = task.gradient(t), torch.zeros_like(x)
        for _ in range(3):
            away = away + unit(grad(x + radii * away))  # in units of the radii
            away = away / max(1.0, float(away.norm()))
        x = x - GAMMA * grad(x + radii * away)
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


SCHEDULES = ("inverse:start=0.5,slope=1", "cosine:start=0.4,end=0.1,steps=4", "inverse-sqrt:start=0.3")


@pytest.mark.parametrize("spec", SCHEDULES)
@pytest.mark.parametrize("given_as", ["text", "object"])
def test_a_schedule_is_evaluated_at_every_step(spec: str, given_as: str) -> None:
    schedule = read_schedule(spec, argument="rho")
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(
        params, method="unified-sam", rho=spec if given_as == "text" else schedule, lam="one-minus-inverse", lr=GAMMA
    )
    x = task.start
    for t in range(6):
        rho, lam = float(schedule.at(t)), 1 - 1 / (t + 1)
        assert optimizer.in_force() == [{"rho": rho, "lam": lam}]
        point = train(optimizer, params, task, 1, first=t)[0]
        x = x - GAMMA * mixed(lam)(task.gradient(t), x, rho)
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


def test_alpha_may_be_a_schedule() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, method="gsam", rho=RHO, alpha="inverse-sqrt:start=0.5", lr=GAMMA)
    x = task.start
    for t, point in enumerate(train(optimizer, params, task, 4)):
        x = x - GAMMA * gsam(0.5 / math.sqrt(t + 1))(task.gradient(t), x, RHO)
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


def test_numbers_may_be_changed_between_steps() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, rho="inverse-sqrt:start=0.3", lr=GAMMA)
    train(optimizer, params, task, 1)
    optimizer.param_groups[0]["rho"] = 0.7
    assert optimizer.in_force() == [{"rho": 0.7}]
    x = flat(params)
    torch.testing.assert_close(
        train(optimizer, params, task, 1, first=1)[0],
        x - GAMMA * mixed(1.0)(task.gradient(1), x, 0.7),
        rtol=0,
        atol=1e-13,
    )
    optimizer.param_groups[0]["rho"] = "linear:start=0.4,steps=4"
    assert optimizer.in_force() == [{"rho": 0.2}]
    optimizer.param_groups[0]["rho"] = constant(0.4)
    assert optimizer.in_force() == [{"rho": 0.4}]


def test_torch_schedulers_work_without_warnings() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, rho=RHO, lr=0.2, momentum=0.9)
    schedulers: list[Any] = [
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
        torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=10),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for t in range(4):
            train(optimizer, params, task, 1, first=t)
            for scheduler in schedulers:
                scheduler.step()
    assert optimizer.param_groups[0]["lr"] == optimizer.base.param_groups[0]["lr"] != 0.2
    assert optimizer.t == 4


def test_a_scheduler_drives_the_step_size() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, rho=RHO, lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.1 / (t + 1))
    x = task.start
    for t in range(4):
        point = train(optimizer, params, task, 1, first=t)[0]
        scheduler.step()
        x = x - 0.1 / (t + 1) * mixed(1.0)(task.gradient(t), x, RHO)
        torch.testing.assert_close(point, x, rtol=0, atol=1e-13)


def test_a_group_may_join_later() -> None:
    task = Task()
    params = task.parameters()
    schedule = "inverse-sqrt:start=0.3"
    optimizer = SAMFamily(params[:2], rho=schedule, lr=GAMMA, momentum=0.5)
    train(optimizer, params, task, 2)
    unmoved = flat(params[2:])
    assert torch.equal(unmoved, flat(pieces(task.start)[2:]))
    optimizer.add_param_group({"params": params[2:], "lr": 0.01})
    assert [group["t"] for group in optimizer.param_groups] == [2, 2]
    assert optimizer.in_force() == [{"rho": 0.3 / math.sqrt(3)}] * 2
    train(optimizer, params, task, 1)
    assert not torch.equal(flat(params[2:]), unmoved)
    assert optimizer.param_groups is optimizer.base.param_groups
    assert optimizer.param_groups[1]["momentum"] == 0.5
    with pytest.raises(InputError, match=r"^rho must be >= 0, got -1\.0$"):
        optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "rho": -1.0})
    assert len(optimizer.param_groups) == 2


# -- saving and loading --


@pytest.mark.parametrize(
    ("method", "base", "options"),
    [
        ("unified-sam:lam=inverse:start=1,slope=1", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        ("sam", torch.optim.AdamW, {"lr": 0.01, "rho": "cosine:start=0.3,end=0.1,steps=9"}),
        ("gsam", torch.optim.Adam, {"lr": 0.01, "alpha": "inverse-sqrt:start=0.4"}),
        ("ssam", BASES["RMSprop"], {"rho": "inverse:start=0.4,slope=2"}),
        ("multi-sam:steps=2,ascent=projected,descent=average", BASES["Adadelta"], {"rho": "inverse-sqrt:start=0.4"}),
        ("multi-sam:ascent=fixed,descent=lookbehind", BASES["ASGD"], {"rho": 0.2}),
    ],
)  # fmt: skip
def test_a_resumed_run_has_the_same_bits(
    method: str, base: Callable[..., torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    task = Task(dtype=torch.float32)
    params = task.parameters()
    whole = train(SAMFamily(params, base, method=method, **options), params, task, 10)

    params = task.parameters()
    first = SAMFamily(params, base, method=method, **options)
    train(first, params, task, 4)
    file = io.BytesIO()
    torch.save({"params": [p.detach() for p in params], "optimizer": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = [p.clone().requires_grad_() for p in saved["params"]]
    # Other numbers than those saved: the saved ones must win.
    second = SAMFamily(resumed, base, method=method, **{**options, "rho": 9.0})
    second.load_state_dict(saved["optimizer"])
    assert second.param_groups is second.base.param_groups
    assert second.state is second.base.state
    rest = train(second, resumed, task, 6, first=4)
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[4:], strict=True))


@pytest.mark.parametrize("way", ["copy", "pickle"])
def test_a_copied_optimiser_goes_on_alike(way: str) -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, method="unified-sam", rho="inverse-sqrt:start=0.3", lam=0.3, lr=GAMMA, momentum=0.9)
    train(optimizer, params, task, 2)
    pair = (optimizer, params)
    twin, own = copy.deepcopy(pair) if way == "copy" else pickle.loads(pickle.dumps(pair))
    assert twin.t == 2
    assert twin.param_groups is twin.base.param_groups
    assert own[0] is twin.param_groups[0]["params"][0]
    assert torch.equal(train(twin, own, task, 2, first=2)[-1], train(optimizer, params, task, 2, first=2)[-1])


def test_a_schedule_without_a_spec_is_found_again_by_its_name() -> None:
    import numpy as np

    own = Schedule("every other", lambda t: np.where(t % 2 == 0, 0.3, 0.1), 0.3, 0.1)
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, rho=own, lr=GAMMA)
    train(optimizer, params, task, 3)
    again = SAMFamily(task.parameters(), rho=own, lr=GAMMA)
    again.load_state_dict(optimizer.state_dict())
    assert again.in_force() == [{"rho": 0.1}]


def test_a_state_of_another_run_is_refused_and_changes_nothing() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, method="gsam", lr=GAMMA, momentum=0.9)
    train(optimizer, params, task, 2)
    before = copy.deepcopy(optimizer.state_dict())
    good = optimizer.state_dict()

    def with_number(key: str, value: Any) -> dict[str, Any]:
        return {**good, "param_groups": [{**good["param_groups"][0], key: value}]}

    wrong = {
        "state_dict must have the method 'gsam', got 'sam'": SAMFamily(params, method="sam", lr=GAMMA).state_dict(),
        "state_dict must have the base 'SGD', got 'Adam'": SAMFamily(
            params, torch.optim.Adam, method="gsam"
        ).state_dict(),
        "state_dict must have the shapes [[[4, 3], [4], [2, 4], [2]]], got [[[4, 3], [4]]]": SAMFamily(
            params[:2], method="gsam", lr=GAMMA
        ).state_dict(),
        "state_dict must be one of SAMFamily, got one without 'method'": torch.optim.SGD(params, lr=1).state_dict(),
        "rho must be >= 0, got -1.0": with_number("rho", -1.0),
        "t in state_dict must be a whole number >= 0, got -3": with_number("t", -3),
        "maximize must be False, because the path climbs what the base descends; got True": with_number(
            "maximize", True
        ),
        "state_dict must be one of SAMFamily, got one without 'param_groups'": {
            key: part for key, part in good.items() if key != "param_groups"
        },
    }
    for message, state in wrong.items():
        with pytest.raises(InputError) as error:
            optimizer.load_state_dict(state)
        assert str(error.value) == message
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert torch.equal(after["state"][0]["momentum_buffer"], before["state"][0]["momentum_buffer"])


# -- parameters --


def test_parameters_without_a_gradient_are_left_alone() -> None:
    """One is frozen, one unused, one has a gradient only at x: bitwise unmoved, whatever momentum and decay."""
    for method in RULES:
        used = torch.ones(2, dtype=torch.float64, requires_grad=True)
        frozen = torch.ones(2, dtype=torch.float64)
        unused, first = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
        optimizer = SAMFamily(
            [used, frozen, unused, first], method=method, rho=0.1, lr=0.1, momentum=0.9, weight_decay=0.1
        )
        calls: list[int] = []

        def loss(
            used: Tensor = used, frozen: Tensor = frozen, first: Tensor = first, calls: list[int] = calls
        ) -> Tensor:
            calls.append(1)
            value = (used * frozen).square().sum()
            return value + first.square().sum() if len(calls) == 1 else value

        optimizer.step(_closure(optimizer, loss))
        assert torch.equal(frozen, torch.ones(2, dtype=torch.float64))
        assert torch.equal(unused.detach(), torch.ones(2, dtype=torch.float64))
        if method != "sgd":  # the one pass of SGD is the first
            assert torch.equal(first.detach(), torch.ones(2, dtype=torch.float64)), method
        assert not torch.equal(used.detach(), torch.ones(2, dtype=torch.float64))


def test_a_parameter_whose_gradient_appears_on_the_path_counts_as_zero_before() -> None:
    for method, rule in RULES.items():
        if method == "sgd":
            continue
        a, b = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (1.0, 2.0))
        optimizer = SAMFamily([a, b], method=method, rho=0.1, lr=0.1)
        calls: list[int] = []

        def loss(a: Tensor = a, b: Tensor = b, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            value = (a**4).sum()
            return value if len(calls) == 1 else value + (b**4).sum()

        passes: list[int] = []

        def grad(x: Tensor, passes: list[int] = passes) -> Tensor:
            passes.append(1)
            mask = torch.tensor([1.0, float(len(passes) > 1)], dtype=torch.float64)
            return 4 * x**3 * mask

        start = torch.tensor([1.0, 2.0], dtype=torch.float64)
        optimizer.step(_closure(optimizer, loss))
        expected = start - 0.1 * rule(grad, start, 0.1)
        torch.testing.assert_close(flat([a, b]), expected, rtol=1e-12, atol=1e-12, msg=method)


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("method", [method for method in RULES if "steps=3" in method])
def test_a_gradient_missing_in_one_pass_of_several_counts_as_zero(method: str, missing: int) -> None:
    a, b = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (1.0, 2.0))
    optimizer = SAMFamily([a, b], method=method, rho=0.1, lr=0.1)
    calls: list[int] = []

    def loss() -> Tensor:
        calls.append(1)
        value = (a**4).sum()
        return value if len(calls) == missing + 1 else value + (b**4).sum()

    passes: list[int] = []

    def grad(x: Tensor) -> Tensor:
        passes.append(1)
        mask = torch.tensor([1.0, float(len(passes) != missing + 1)], dtype=torch.float64)
        return 4 * x**3 * mask

    start = torch.tensor([1.0, 2.0], dtype=torch.float64)
    optimizer.step(_closure(optimizer, loss))
    torch.testing.assert_close(flat([a, b]), start - 0.1 * RULES[method](grad, start, 0.1), rtol=1e-12, atol=1e-12)


def test_shared_parameters_count_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3, bias=False, dtype=torch.float64)
            self.outer = nn.Linear(3, 3, bias=False, dtype=torch.float64)
            self.outer.weight = self.inner.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.outer(torch.tanh(self.inner(x)))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Tied()
    inputs = torch.randn(5, 3, dtype=torch.float64)
    start = model.inner.weight.detach().clone()
    optimizer = SAMFamily(model.parameters(), rho=RHO, lr=GAMMA)
    optimizer.step(_closure(optimizer, lambda: model(inputs).square().sum()))

    def grad(x: Tensor) -> Tensor:
        y = x.detach().clone().requires_grad_()
        W = y.view(3, 3)
        return torch.autograd.grad((torch.tanh(inputs @ W.T) @ W.T).square().sum(), y)[0]

    x = start.reshape(-1)
    expected = x - GAMMA * mixed(1.0)(grad, x, RHO)
    torch.testing.assert_close(model.outer.weight.detach().reshape(-1), expected, rtol=1e-12, atol=1e-12)


def test_gradients_may_be_accumulated_in_the_closure() -> None:
    task = Task()
    params = task.parameters()
    optimizer = SAMFamily(params, rho=RHO, lr=GAMMA)
    for t in range(3):

        def closure(t: int = t) -> None:
            optimizer.zero_grad(set_to_none=False)
            for half in range(2):
                W, b, V, c = params
                rows = slice(8 * t + 4 * half, 8 * t + 4 * half + 4)
                outputs = torch.tanh(task.inputs[rows] @ W.T + b) @ V.T + c
                torch.autograd.backward((outputs - task.targets[rows]).square().sum() / 16)

        assert optimizer.step(closure) is None
    # Two halves of a batch in another order of summation.
    torch.testing.assert_close(flat(params), run("sam", rho=RHO, steps=3)[-1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", RULES)
def test_zeroing_in_place_and_to_none_agree(method: str) -> None:
    """Gradients that every pass writes into the same memory are the ones to copy."""
    task = Task()
    ends = []
    for to_none in (True, False):
        params = task.parameters()
        optimizer = SAMFamily(params, method=method, rho=RHO, lr=GAMMA)
        for t in range(3):

            def closure(t: int = t, params: list[Tensor] = params, to_none: bool = to_none) -> None:
                for p in params:
                    if to_none or p.grad is None:
                        p.grad = None
                    else:
                        p.grad.zero_()
                torch.autograd.backward(task.loss(params, t))

            optimizer.step(closure)
        ends.append(flat(params))
    assert torch.equal(*ends)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", RULES)
def test_half_precision_parameters_have_norms_in_float32(method: str, dtype: torch.dtype) -> None:
    """10^6 gradients of 1e-3: ||g|| is 1, while their squares vanish in float16 and their sum stalls in bfloat16."""
    x = torch.zeros(1_000_000, dtype=dtype, requires_grad=True)
    slope = torch.full((1_000_000,), 1e-3, dtype=dtype)
    seen: list[Tensor] = []
    optimizer = SAMFamily([x], method=method, rho=1.0, lr=0.0)

    def loss() -> Tensor:
        seen.append(x.detach().clone())
        return (x * slope).float().sum()

    optimizer.step(_closure(optimizer, loss))
    exact = float(slope[0])
    normalised = not method.startswith(("usam", "unified", "ssam"))
    if method != "sgd" and normalised and "multi" not in method:
        # x + g/||g||, ||g|| = 1000 |g_j|: one rounding to 16 bits of a number that float32 knows to 1e-5.
        torch.testing.assert_close(seen[1][0].float(), torch.tensor(1e-3), rtol=2**-8, atol=0)
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    factor = 2 * 0.7 if "lookbehind" in method else 1.0
    # A linear loss has the same gradient everywhere; SSAM's factor and GSAM's part are 1 and 0 to float32's rounding.
    torch.testing.assert_close(x.grad[0].float(), torch.tensor(factor * exact), rtol=2**-7, atol=0)


def test_small_steps_of_a_path_add_up_in_half_precision() -> None:
    """512 steps of 1/128 of the spacing of bfloat16 at 1: lost one by one, and a sum in bfloat16 would stall at 256."""
    x = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    seen: list[float] = []
    optimizer = SAMFamily([x], method="multi-sam:steps=512,ascent=budget", rho=2.0**-5, lr=0.0)

    def loss() -> Tensor:
        seen.append(x.item())
        return x.float().sum()

    optimizer.step(_closure(optimizer, loss))
    assert seen[0] == x.item() == 1.0
    assert seen[-1] == 1 + 2.0**-5


def test_mixed_precisions_share_one_norm() -> None:
    a = torch.tensor([3.0], dtype=torch.float32, requires_grad=True)
    b = torch.tensor([4.0], dtype=torch.float64, requires_grad=True)
    c = torch.tensor([12.0], dtype=torch.bfloat16, requires_grad=True)
    optimizer = SAMFamily([a, b, c], rho=13.0, lr=0.5)
    seen: list[tuple[float, ...]] = []

    def loss() -> Tensor:
        seen.append((a.item(), b.item(), c.item()))
        return (a.double() * a + b * b + c.double() * c).sum() / 2

    optimizer.step(_closure(optimizer, loss))
    assert seen[1] == pytest.approx((6.0, 8.0, 24.0), rel=1e-6)
    assert flat([a.double(), b, c.double()]).tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_the_zero_rule_is_that_of_the_squares() -> None:
    """||g|| = 1e-30 in float32: its square is 0, so the gradient counts as 0, as in the engine; not so in float64."""
    for dtype, moved in ((torch.float32, False), (torch.float64, True)):
        x = torch.ones(1, dtype=dtype, requires_grad=True)
        seen: list[float] = []
        optimizer = SAMFamily([x], rho=0.5, lr=0.1)

        def loss(x: Tensor = x, seen: list[float] = seen) -> Tensor:
            seen.append(x.item())
            return (x * 1e-30).sum()

        optimizer.step(_closure(optimizer, loss))
        assert (seen[1] != 1.0) is moved


def test_ssam_at_its_edges() -> None:
    """ga = 0 with g != 0: no step. ||ga||^2 overflows: a NaN, not a step of length 0 that would hide it."""
    flat_beyond = _first_step(lambda x: torch.where(x < 1.5, x, 0 * x).sum(), "ssam:ascent=normalised")
    assert flat_beyond == 1.0
    steep_beyond = _first_step(lambda x: (40 * x).exp().sum(), "ssam:ascent=normalised")
    assert math.isnan(steep_beyond)


def _first_step(loss: Callable[[Tensor], Tensor], method: str) -> float:
    """From 1 in float32 with rho = 1 and gamma = 0.1."""
    x = torch.ones(1, requires_grad=True)
    optimizer = SAMFamily([x], method=method, rho=1.0, lr=0.1)
    optimizer.step(_closure(optimizer, lambda: loss(x)))
    return x.item()


def test_gsam_where_the_second_gradient_vanishes_climbs() -> None:
    """gp = 0 and g != 0: g_perp = g, so that x+ = x + gamma alpha g."""
    x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = SAMFamily([x], method="gsam", alpha=0.5, rho=1.0, lr=0.1)
    optimizer.step(_closure(optimizer, lambda: torch.where(x < 1.5, x, 0 * x).sum()))
    assert x.item() == pytest.approx(1 + 0.1 * 0.5, rel=1e-15)


# -- what a step leaves as it was --


@pytest.mark.parametrize("method", RULES)
def test_the_way_back_is_exact(method: str) -> None:
    """1e-20 + 1e20 - 1e20 would be 0: with lr = 0 nothing has moved, to the bit, and in the same memory."""
    x = torch.tensor([1e-20, 1.0, -3.0], requires_grad=True)
    place = x.data_ptr()
    optimizer = SAMFamily([x], method=method, rho=1e10, lr=0.0)
    optimizer.step(_closure(optimizer, lambda: (x * torch.tensor([1.0, 2.0, 3.0])).sum()))
    assert x.tolist() == torch.tensor([1e-20, 1.0, -3.0]).tolist()
    assert x.data_ptr() == place


@pytest.mark.parametrize("method", PERTURBED)
def test_an_exception_at_a_perturbed_point_leaves_everything_at_x(method: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    inputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    optimizer = SAMFamily(model.parameters(), method=method, rho=RHO, model=model, lr=GAMMA, momentum=0.9)
    optimizer.step(_closure(optimizer, lambda: model(inputs).square().sum()))
    params, state = flat(list(model.parameters())), copy.deepcopy(optimizer.state_dict())
    for failing in range(1, optimizer.rule.steps + 1):
        calls: list[Tensor] = []

        def loss(failing: int = failing, calls: list[Tensor] = calls) -> Tensor:
            value: Tensor = model(inputs).square().sum()
            norm: Any = model[1]
            calls.append(norm.running_mean.clone())
            if len(calls) == failing + 1:
                raise KeyboardInterrupt
            return value

        with pytest.raises(KeyboardInterrupt):
            optimizer.step(_closure(optimizer, loss))
        assert torch.equal(flat(list(model.parameters())), params)
        now = optimizer.state_dict()
        assert now["param_groups"] == state["param_groups"]
        assert torch.equal(now["state"][0]["momentum_buffer"], state["state"][0]["momentum_buffer"])
        norm: Any = model[1]
        assert torch.equal(norm.running_mean, calls[0])
        assert norm.momentum == 0.1


class Noting(nn.Module):
    """Replaces its buffer instead of writing into it."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + 1
        return x


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", ["sam", "ssam", "multi-sam:steps=3,descent=average"])
def test_running_statistics_come_from_the_pass_at_x_alone(method: str, training: bool, momentum: float | None) -> None:
    torch.manual_seed(0)
    layers = (nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum), Noting(), nn.Linear(4, 4))
    model = nn.Sequential(*layers, nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, track_running_stats=True))
    model.train(training)
    plain = copy.deepcopy(model)
    inputs = torch.randn(3, 6, 3)
    optimizer = SAMFamily(model.parameters(), method=method, rho=RHO, model=model, lr=GAMMA)
    for batch in inputs:
        plain.load_state_dict({**plain.state_dict(), **dict(model.named_parameters())})
        plain(batch)

        def loss(batch: Tensor = batch) -> Tensor:
            value: Tensor = (model(batch) - batch[:, :2, None]).square().sum()
            return value

        optimizer.step(_closure(optimizer, loss))
        for (name, own), other in zip(model.named_buffers(), plain.buffers(), strict=True):
            assert torch.equal(own, other), name
    norm: Any = model[1]
    assert norm.momentum == momentum
    assert int(norm.num_batches_tracked) == (3 if training else 0)


def test_statistics_are_written_by_every_pass_where_no_model_is_given() -> None:
    """The control of the test above."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = SAMFamily(model.parameters(), rho=RHO, lr=GAMMA)
    optimizer.step(_closure(optimizer, lambda: model(torch.ones(5, 3)).square().sum()))
    norm: Any = model[1]
    assert int(norm.num_batches_tracked) == 2


def test_a_nan_at_a_perturbed_point_stays_out_of_the_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    inputs = torch.randn(5, 2)
    optimizer = SAMFamily(model.parameters(), rho=RHO, model=model, lr=0.0)
    calls: list[int] = []

    def loss() -> Tensor:
        calls.append(1)
        value: Tensor = model(inputs if len(calls) == 1 else inputs * torch.inf).square().sum()
        return value

    optimizer.step(_closure(optimizer, loss))
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())


# -- no waiting for the device --


class Waits(TorchDispatchMode):
    """Counts the operations at which a program waits for its device."""

    NAMES = ("_local_scalar_dense", "is_nonzero", "item", "nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []
        self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.all += 1
        if func.overloadpacket.__name__ in self.NAMES:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", RULES)
def test_no_step_waits_for_the_device(method: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    inputs = torch.randn(5, 3)
    optimizer = SAMFamily(
        model.parameters(), method=method, rho="inverse-sqrt:start=0.1", model=model, lr=0.1, momentum=0.9
    )
    with Waits() as waits:
        for _ in range(2):
            optimizer.step(_closure(optimizer, lambda: model(inputs).square().sum()))
    assert waits.all > 50
    assert waits.seen == []


def test_the_count_of_waits_can_fail() -> None:
    x = torch.ones(1, requires_grad=True)
    optimizer = SAMFamily([x], lr=0.1)
    with Waits() as waits:
        optimizer.step(lambda: _closure(optimizer, lambda: x.sum())().item())
    assert waits.seen == ["aten._local_scalar_dense.default"] * 2


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_needs_no_values(method: str, dtype: torch.dtype) -> None:
    """On the meta device no number exists, so that asking for one raises."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 4, dtype=dtype), nn.Tanh(), nn.Linear(4, 1, dtype=dtype))
        inputs = torch.randn(5, 3, dtype=dtype)
    optimizer = SAMFamily(model.parameters(), method=method, rho=0.1, model=model, lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.step(_closure(optimizer, lambda: model(inputs).float().square().sum()))
    assert optimizer.t == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", RULES)
def test_on_cuda_the_iterates_of_the_cpu_without_waiting(method: str) -> None:
    task = Task()
    expected = run(method, rho=RHO)
    task.inputs, task.targets = task.inputs.cuda(), task.targets.cuda()
    params = [part.clone().cuda().requires_grad_() for part in pieces(task.start)]
    optimizer = SAMFamily(params, method=method, rho=RHO, lr=GAMMA)
    torch.cuda.set_sync_debug_mode("error")
    try:
        points = train(optimizer, params, task, len(expected))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # Other orders of summation in float64.
    torch.testing.assert_close(torch.stack(points).cpu(), expected, rtol=0, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_whole_step_fits_in_a_cuda_graph() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).cuda()
    twin = copy.deepcopy(model)
    inputs = torch.randn(5, 3, device="cuda")
    pair = [SAMFamily(m.parameters(), rho=RHO, model=m, lr=GAMMA) for m in (model, twin)]

    def step(own: nn.Module, optimizer: SAMFamily) -> None:
        optimizer.step(_closure(optimizer, lambda: own(inputs).square().sum()))

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step(model, pair[0])
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(model, pair[0])
    for _ in range(3):
        graph.replay()
    for _ in range(4):
        step(twin, pair[1])
    torch.testing.assert_close(flat(list(model.parameters())), flat(list(twin.parameters())), rtol=1e-5, atol=1e-6)


# -- several processes: the whole of it with two processes is tested elsewhere --


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("method", ["sgd", "sam", "gsam:alpha=0.4", "ssam", "multi-sam:steps=3,descent=average"])
def test_in_one_process_rank_and_global_are_one_method(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    ends, synchronised = [], {}
    for reduce in ("global", "rank"):
        own = DistributedDataParallel(copy.deepcopy(model))
        optimizer = SAMFamily(own.parameters(), method=method, rho=RHO, model=own, reduce=reduce, lr=GAMMA)
        modes: list[bool] = []

        def loss(own: DistributedDataParallel = own, modes: list[bool] = modes) -> Tensor:
            modes.append(bool(own.require_backward_grad_sync))
            value: Tensor = own(torch.ones(5, 3)).square().sum()
            return value

        for _ in range(3):
            optimizer.step(_closure(optimizer, loss))
        ends.append(flat(list(own.parameters())))
        synchronised[reduce] = modes[: optimizer.rule.steps + 1]
    assert torch.equal(*ends)
    assert all(synchronised["global"])
    # The last pass of SAM is averaged by DistributedDataParallel itself; other directions are averaged at the end.
    own_passes = {"sgd": [True], "sam": [False, True], "multi-sam:steps=3,descent=average": [False] * 4}
    assert synchronised["rank"] == own_passes.get(method, [False, False])


# -- bad input --

X = torch.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "sm"}, "unknown method 'sm'; the nearest is"),
        ({"method": 3}, "method must be a name or a SPEC, got 3"),
        ({"method": "projected-sgd"}, "method must be sgd, sam, usam, unified-sam, gsam, multi-sam or ssam on networks,"
         " got 'projected-sgd:radius=1'"),
        ({"method": "multi-sam:steps=0"}, "steps of method 'multi-sam' must be a whole number >= 1, got 0"),
        ({"method": "multi-sam", "ascent": "up"}, "ascent of method 'multi-sam' must be one of budget, fixed, "
         "projected, power, got 'up'"),
        ({"method": "multi-sam", "descent": "lookbehind"}, "ascent of method 'multi-sam' must be fixed, the path of "),
        ({"method": "multi-sam", "alpha": 0.5}, "alpha of method 'multi-sam' is read by descent=lookbehind alone"),
        ({"method": "multi-sam:ascent=fixed,descent=lookbehind", "alpha": 0.0}, "alpha must be in (0, 1], got 0.0"),
        ({"method": "ssam", "ssam": "half"}, "ascent of method 'ssam' must be one of unnormalised, normalised"),
        ({"rho": -0.1}, "rho must be >= 0, got -0.1"),
        ({"rho": math.nan}, "rho must be >= 0, got nan"),
        ({"rho": math.inf}, "rho must be >= 0, got inf"),
        ({"rho": None}, "rho must be a number or the SPEC of a schedule, got None"),
        ({"rho": True}, "rho must be a number or the SPEC of a schedule, got True"),
        ({"rho": "linear:start=1"}, "schedule 'linear:start=1' lacks the key 'steps'"),
        ({"rho": "much"}, "rho must be a number, got 'much'"),
        ({"method": "unified-sam", "lam": 1.5}, "lam must be in [0, 1], got 1.5"),
        ({"method": "unified-sam", "lam": "inverse-sqrt:start=2"}, "lam must be in [0, 1], got inverse-sqrt:start=2"),
        ({"method": "unified-sam:lam=0.5", "lam": 0.5}, "lam must be given once, got 0.5 beside lam=0.5 in the method"),
        ({"method": "sam", "lam": 0.5}, "lam is read by unified-sam alone; leave it out with method 'sam', got 0.5"),
        ({"method": "sam", "ascent_steps": 2}, "ascent_steps is read by multi-sam alone; leave it out with method"),
        ({"method": "gsam", "alpha": math.nan}, "alpha must be finite, got nan"),
        ({"params": [{"params": [X], "lam": 0.3}]}, "lam is read by unified-sam alone; leave it out of the parameter "),
        ({"params": [{"params": [X], "rho": -1}]}, "rho must be >= 0, got -1.0"),
        ({"params": []}, "params must hold at least one parameter, got none"),
        ({"params": X}, "params must be a list of tensors or of parameter groups, got Parameter"),
        ({"params": [{"parms": [X]}]}, "a parameter group must be a dictionary with the key 'params'"),
        ({"params": [{"params": {X}}]}, "params must be in a fixed order, such as a list has, got a set"),
        ({"params": [X, X]}, "params must give each parameter once, got one of shape (2,) twice"),
        ({"params": [1.0]}, "params must be tensors, got 1.0"),
        ({"params": [torch.ones(1, dtype=torch.complex64)]}, "params must be real tensors of at least 16 bits, got "),
        ({"params": [{"params": [X]}, {"params": [X]}]}, "base SGD refuses its parameters or options: some parameters"),
        ({"lr": -1.0}, "base SGD refuses its parameters or options: Invalid learning rate: -1.0"),
        ({"speed": 1.0}, "base SGD refuses its parameters or options: "),
        ({"maximize": True}, "maximize must be False, because the path climbs what the base descends; got True"),
        ({"base": torch.optim.LBFGS}, "base must take its step from one gradient, got LBFGS"),
        ({"base": torch.optim.SparseAdam}, "base must take dense gradients, got SparseAdam, which takes sparse ones"),
        ({"base": lambda params: None}, "base must make a torch.optim.Optimizer, got <lambda>"),
        ({"reduce": "local"}, "reduce must be global or rank, got 'local'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(arguments: dict[str, Any], message: str) -> None:
    given = {"params": [X], **arguments}
    if given["params"] is X:
        given["params"] = nn.Parameter(torch.ones(2))
    with pytest.raises(InputError) as error:
        SAMFamily(**given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_calls_are_one_sentence_and_move_nothing() -> None:
    x = torch.ones(2, requires_grad=True)
    optimizer = SAMFamily([x], rho=0.1, lr=0.1)
    good = _closure(optimizer, lambda: x.square().sum())
    with pytest.raises(InputError, match=r"^closure must be a function that zeroes the gradients, .*, got None$"):
        optimizer.step()
    with pytest.raises(InputError, match=r"^closure must call backward on the loss, got no gradient"):
        optimizer.step(lambda: x.sum())
    optimizer.param_groups[0]["rho"] = -0.5
    with pytest.raises(InputError, match=r"^rho must be >= 0, got -0\.5$"):
        optimizer.step(good)
    optimizer.param_groups[0]["rho"] = 0.1
    optimizer.param_groups[0]["maximize"] = True
    with pytest.raises(InputError, match=r"^maximize must be False, because the path climbs what the base descends"):
        optimizer.step(good)
    optimizer.param_groups[0]["maximize"] = False
    table = nn.Embedding(3, 2, sparse=True)
    sparse = SAMFamily(table.parameters(), lr=0.1)
    with pytest.raises(InputError, match=r"^gradients must be dense, got a sparse one of shape \(3, 2\)$"):
        sparse.step(_closure(sparse, lambda: table(torch.tensor([0])).sum()))
    assert optimizer.t == sparse.t == 0
    assert torch.equal(x.detach(), torch.ones(2))


def test_the_cost_of_a_step_is_measured_for_every_method() -> None:
    found = step_ratios("cpu", repeats=1, batch=2)
    assert {method.partition(":")[0] for method in RULES} <= {name.partition(",")[0] for name in found}
    assert "eager sam" in found
    assert all(0 < ratio < math.inf for ratio in found.values())
    with pytest.raises(InputError, match=r"^repeats must be a whole number >= 1, got 0$"):
        step_ratios("cpu", repeats=0)
