"""The network's loss as a function of one vector: every derivative against differences or explicit sums."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from experiments.net import objective as module
from experiments.net.objective import Objective
from problems.errors import InputError
from tests.net.examples import build_mlp, digits, mlp, quadratic

torch.set_num_threads(1)


class Shared(nn.Module):
    """A module under two names, a parameter in two modules, a frozen one, batch norm with statistics, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 6)
        self.norm = nn.BatchNorm1d(6)
        self.again = nn.Linear(6, 6)
        self.once_more = self.again
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.again.weight
        self.last = nn.Linear(6, 10)
        self.last.weight.requires_grad_(False)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.norm(self.first(x)))
        h = torch.tanh(self.tied(torch.tanh(self.once_more(torch.tanh(self.again(h))))))
        out: Tensor = self.last(self.drop(h))
        return out


def shared() -> Objective:
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = Shared().double()
        inputs, targets = digits(30)
        for _ in range(3):
            model(inputs)  # statistics that are not 0 and 1
    return Objective(model, inputs, targets, reg=0.02)


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "mlp": mlp,
    "shared, frozen, batch norm": shared,
    "quadratic": lambda: quadratic().objective,
}


@pytest.fixture(params=list(OBJECTIVES))
def objective(request: pytest.FixtureRequest) -> Objective:
    return OBJECTIVES[request.param]()


def direction(objective: Objective, seed: int) -> Tensor:
    v: Tensor = torch.randn(objective.d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = v / v.square().sum().sqrt()
    return unit


def test_value_is_the_mean_of_losses_written_out() -> None:
    objective = mlp()
    model = objective.model.eval()
    outputs = model(objective.inputs)
    by_hand = -torch.log_softmax(outputs, dim=1)[torch.arange(objective.n), objective.targets].mean()
    norm2 = sum(float(p.detach().square().sum()) for p in model.parameters())
    # Sums of 40 losses in another order: some 40 roundings.
    assert float(objective.value(objective.start)) == pytest.approx(float(by_hand.detach()) + 0.005 * norm2, rel=1e-14)


def test_a_linear_model_gives_the_quadratic() -> None:
    q = quadratic()
    x = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    by_hand = q.H @ (x.numpy() - q.minimiser)
    # About n + d roundings of terms of this size.
    assert torch.allclose(q.objective.gradient(x), torch.tensor(by_hand), rtol=1e-13, atol=1e-13)
    assert torch.allclose(q.objective.hessian_vector(x, x), torch.tensor(q.H @ x.numpy()), rtol=1e-13, atol=1e-13)


def test_gradient_is_the_slope_of_the_value(objective: Objective) -> None:
    x, v = objective.start, direction(objective, 1)
    h = 1e-5
    slope = (objective.value(x + h * v) - objective.value(x - h * v)) / (2 * h)
    # h^2 f''' / 6 is some 1e-11 here and rounding eps f / h some 1e-10.
    assert float(objective.gradient(x) @ v) == pytest.approx(float(slope), abs=1e-8)


def test_hessian_vector_is_the_slope_of_the_gradient(objective: Objective) -> None:
    x, v = objective.start, direction(objective, 2)
    h = 1e-5
    slope = (objective.gradient(x + h * v) - objective.gradient(x - h * v)) / (2 * h)
    # As above.
    assert torch.allclose(objective.hessian_vector(x, v), slope, rtol=0, atol=1e-8)


def test_sampled_gradients_add_up(objective: Objective) -> None:
    x = objective.start
    rows = objective.sample_gradients(x, torch.arange(objective.n))
    # The same terms in another order.
    assert torch.allclose(rows.mean(dim=0), objective.gradient(x), rtol=1e-12, atol=1e-13)
    indices, weights = torch.tensor([3, 0, 3]), torch.tensor([2.0, 0.5, 4.0], dtype=torch.float64)
    by_hand = (weights[:, None] * rows[indices]).sum(dim=0) / objective.n
    assert torch.allclose(objective.minibatch_gradient(x, indices, weights), by_hand, rtol=1e-12, atol=1e-13)


def test_parts_of_the_data_change_nothing(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    x, v = objective.start, direction(objective, 4)
    whole = objective.value(x), objective.gradient(x), objective.hessian_vector(x, v)
    monkeypatch.setattr(module, "CHUNK", 7)
    parted = objective.value(x), objective.gradient(x), objective.hessian_vector(x, v)
    assert len(objective.parts()) > 1
    for a, b in zip(whole, parted, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-13)  # the order of a sum


def test_shared_parameters_count_once_and_frozen_ones_not_at_all() -> None:
    objective = shared()
    assert objective.d == (8 * 6 + 6) + 2 * 6 + (6 * 6 + 6) + 6 + 10
    assert not {"last.weight", "once_more.weight", "tied.weight"} & set(objective.named(objective.start))
    frozen = objective.model.get_parameter("last.weight").clone()
    objective.write(objective.start + 1)
    assert torch.equal(objective.model.get_parameter("last.weight"), frozen)
    assert torch.equal(objective.read(), objective.start + 1)


def test_the_network_moves_with_the_vector() -> None:
    """What the functional call says is what the model says that holds the same numbers, everywhere they stand."""
    objective = shared()
    x = objective.start + 0.2
    said = objective.outputs(x, objective.inputs)
    objective.write(x)
    assert torch.equal(objective.model.eval()(objective.inputs), said)


def test_the_model_is_left_as_found() -> None:
    objective = shared()
    model = objective.model
    model.train()
    model.get_submodule("drop").eval()
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    x, v = objective.start + 0.1, direction(objective, 5)
    # Twice the same: no dropout is drawn and no statistics move.
    assert float(objective.value(x)) == float(objective.value(x))
    objective.gradient(x)
    objective.hessian_vector(x, v)
    objective.sample_gradients(x, torch.arange(4))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_batch_norm_uses_the_statistics_that_were_there() -> None:
    objective = shared()
    before = float(objective.value(objective.start))
    objective.model.train()
    objective.model(objective.inputs)  # moves the model's own statistics
    assert float(objective.value(objective.start)) == before


def test_examples_do_not_see_each_other() -> None:
    objective = shared()
    x = objective.start
    alone = torch.cat([objective.outputs(x, objective.inputs[i : i + 1]) for i in range(5)])
    # One row at a time takes another matrix kernel; in training mode the difference would be of order 1.
    assert torch.allclose(alone, objective.outputs(x, objective.inputs[:5]), rtol=1e-12, atol=1e-13)


X, CLASSES = digits(6)
MODEL = build_mlp(8, 3, 0)
ROWS = torch.zeros(6, 10, dtype=torch.float64)


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "said"),
    [
        (X, CLASSES, {"loss": "hinge"}, "loss must be cross-entropy or squared, got 'hinge'"),
        (X, CLASSES, {"reg": -1.0}, "reg must be >= 0, got -1.0"),
        (X, CLASSES, {"reg": float("nan")}, "reg must be >= 0, got nan"),
        (X[:5], CLASSES, {}, "as many, at least one, got 5 and 6"),
        (X[:0], CLASSES[:0], {}, "got 0 and 0"),
        (X * torch.nan, CLASSES, {}, "inputs must be finite"),
        (X, CLASSES + 10, {}, "targets must be classes in 0..9, got 1"),
        (X, CLASSES - 20, {}, "targets must be classes in 0..9, got -20"),
        (X, CLASSES.double(), {}, "targets must be classes, int64"),
        (X, CLASSES.double(), {"loss": "squared"}, r"shape of the outputs, \(6, 10\), got \(6,\)"),
        (X, ROWS * torch.nan, {"loss": "squared"}, "targets must be finite"),
    ],
)
def test_bad_data_is_one_sentence(inputs: Tensor, targets: Tensor, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Objective(MODEL, inputs, targets, **options)  # type: ignore[arg-type]


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model = copy.deepcopy(MODEL).requires_grad_(False)
    with pytest.raises(InputError, match="parameters that need a gradient"):
        Objective(model, X, CLASSES)


def test_points_are_checked() -> None:
    objective = mlp()
    with pytest.raises(InputError, match=r"x must have shape \(105,\), got \(3,\)"):
        objective.check(torch.zeros(3))
    with pytest.raises(InputError, match="start holds NaN or infinite"):
        objective.check(objective.start * torch.inf, argument="start")
    assert objective.check(objective.start.float()).dtype == torch.float64
