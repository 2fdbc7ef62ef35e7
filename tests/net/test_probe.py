"""All probes at one point: against Hessian and gradients written out, and at the point that training reached."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.net.curvature import Hessian
from experiments.net.data import load_data
from experiments.net.probe import Probe, probe
from experiments.net.probe_figure import density_figure
from experiments.net.probe_point import Point, load_point
from experiments.net.sharpness import average_sharpness
from experiments.net.train import Training, train
from problems.errors import InputError
from problems.problem import Grade
from ravine.cli import run_command
from theory.dynamics import sam_edge, usam_edge
from theory.inner_max import quadratic_on_ball

MODEL = "mlp:width=3,depth=1"
EXAMPLES = 150
RHO, BATCH, TOP = 0.1, 16, 3
RUN = Training(
    model=MODEL, data="digits", method="sam", gamma=0.2, rho=RHO, batch=BATCH, epochs=3, dtype="float64", device="cpu",
    threads=1, seed=4,
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Kept(NamedTuple):
    """A run's checkpoint, and its log's last row."""

    file: Path
    loss: float
    state: dict[str, Tensor]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    file = tmp_path_factory.mktemp("run") / "run.pt"
    run = train(RUN, checkpoint=file)
    logged = run.rows[-1][5]
    assert isinstance(logged, float)
    return Kept(file, logged, {name: part.clone() for name, part in run.model.state_dict().items()})


@pytest.fixture(scope="module")
def point(kept: Kept) -> Point:
    return load_point(MODEL, "digits", checkpoint=kept.file, examples=EXAMPLES, device="cpu")


@pytest.fixture(scope="module")
def found(point: Point) -> Probe:
    return probe(point, top=TOP)


class ByHand(NamedTuple):
    """The loss of the same network on the same examples, written without the code under test."""

    value: float
    g: NDArray[np.float64]
    H: NDArray[np.float64]
    rows: NDArray[np.float64]
    x: Tensor
    inputs: Tensor
    classes: Tensor


def loss_of(x: Tensor, inputs: Tensor, classes: Tensor) -> Tensor:
    """The mean cross-entropy of one hidden layer of three tanh units."""
    W, b, V, c = torch.split(x, [3 * 64, 3, 10 * 3, 10])
    hidden = torch.tanh(inputs.flatten(1) @ W.view(3, 64).T + b)
    outputs = hidden @ V.view(10, 3).T + c
    return (torch.logsumexp(outputs, dim=1) - outputs[torch.arange(len(inputs)), classes]).mean()


@pytest.fixture(scope="module")
def by_hand(kept: Kept, point: Point) -> ByHand:
    data = load_data("digits", dtype=torch.float64, seed=RUN.seed)
    # The examples that were drawn are found among all of them by what they hold.
    same = (data.inputs.flatten(1)[None] == point.objective.inputs.flatten(1)[:, None]).all(dim=2)
    chosen = same.double().argmax(dim=1)
    assert bool(same.any(dim=1).all())
    assert len(set(chosen.tolist())) == EXAMPLES
    inputs, classes = data.inputs[chosen], data.targets[chosen]
    x = torch.cat([part.reshape(-1) for part in kept.state.values()])

    def f(y: Tensor) -> Tensor:
        return loss_of(y, inputs, classes)

    rows = torch.stack([torch.func.grad(loss_of)(x, inputs[i : i + 1], classes[i : i + 1]) for i in range(EXAMPLES)])
    return ByHand(
        float(f(x)), torch.func.grad(f)(x).numpy(), torch.func.hessian(f)(x).numpy(), rows.numpy(), x, inputs, classes
    )


def value(found: Probe, name: str) -> float:
    return found.quantities[name].value


# The same sums in another order: what is left is rounding, some n eps.
ROUNDING = 1e-10


def test_eigenvalues_trace_and_alignment_are_those_of_the_hessian(found: Probe, by_hand: ByHand) -> None:
    exact, basis = np.linalg.eigh(by_hand.H)
    for k in range(1, TOP + 1):
        quantity = found.quantities[f"lambda_{k}"]
        # ARPACK was asked for 1e-6, relative, and the residual bounds the error of one eigenvalue.
        assert quantity.value == pytest.approx(exact[-k], rel=1e-6)
        assert quantity.residual is not None
        assert abs(quantity.value - exact[-k]) <= quantity.residual + ROUNDING
    total = found.quantities["trace"]
    assert total.standard_error is not None
    assert 0 < total.standard_error < 0.2 * total.value
    # Ten estimates: Student's deviate with nine degrees of freedom exceeds 5 once in a thousand, and the seed is fixed.
    assert abs(total.value - np.trace(by_hand.H)) <= 5 * total.standard_error
    g = by_hand.g / np.linalg.norm(by_hand.g)
    # Eigenvectors are off by the residual over the distance to the next eigenvalue.
    assert value(found, "alignment") == pytest.approx(abs(g @ basis[:, -1]), abs=1e-6)
    assert value(found, "alignment_top") == pytest.approx(np.linalg.norm(g @ basis[:, -TOP:]), abs=1e-6)
    assert 0 <= value(found, "alignment") <= value(found, "alignment_top") <= 1


def test_loss_gradient_and_noise_are_those_of_the_examples(found: Probe, by_hand: ByHand) -> None:
    norm2 = float(by_hand.g @ by_hand.g)
    assert value(found, "loss") == pytest.approx(by_hand.value, rel=ROUNDING)
    assert value(found, "gradient_norm") == pytest.approx(math.sqrt(norm2), rel=ROUNDING)
    assert value(found, "mu") == pytest.approx(norm2 / (2 * by_hand.value), rel=ROUNDING)
    # A set of tau examples without replacement: the variance of one, over tau, with the finite population's correction.
    spread = float(((by_hand.rows - by_hand.g) ** 2).sum(axis=1).mean())
    variance = spread / BATCH * (EXAMPLES - BATCH) / (EXAMPLES - 1)
    assert value(found, "variance") == pytest.approx(variance, rel=ROUNDING)
    assert value(found, "noise_to_signal") == pytest.approx(variance / norm2, rel=ROUNDING)


def test_noise_constants_describe_and_cover_the_noise(found: Probe, by_hand: ByHand) -> None:
    norm2 = float(by_hand.g @ by_hand.g)
    second = value(found, "variance") + norm2
    parts = np.array([2 * by_hand.value, norm2, 1.0])
    for name in "ABC":
        quantity = found.quantities[name]
        assert quantity.interval is not None
        assert 0 <= quantity.interval[0] <= quantity.value <= quantity.interval[1]
    # The fit is of 17 points over which the noise changes by half; at their centre it is off by little.
    assert parts @ [value(found, name) for name in "ABC"] == pytest.approx(second, rel=0.05)
    assert found.covering is not None
    covering = np.array([found.covering.A, found.covering.B, found.covering.C])
    assert second * (1 - ROUNDING) <= parts @ covering <= 1.3 * second
    # The same at the ends of the ball, where the noise is larger; somewhere a tightest bound is attained.
    slack = []
    for direction in (by_hand.g / np.linalg.norm(by_hand.g), *found.top.vectors.numpy().T):
        for scale in (-1.0, -0.5, 0.5, 1.0):
            y = by_hand.x + torch.from_numpy(scale * RHO * direction)
            rows = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0, 0))(
                y, by_hand.inputs[:, None], by_hand.classes[:, None]
            ).numpy()
            g = rows.mean(axis=0)
            spread = float(((rows - g) ** 2).sum(axis=1).mean())
            there = spread / BATCH * (EXAMPLES - BATCH) / (EXAMPLES - 1) + g @ g
            bound = covering @ [2 * float(loss_of(y, by_hand.inputs, by_hand.classes)), g @ g, 1.0]
            slack.append(bound / there - 1)
    assert min(slack) == pytest.approx(0, abs=1e-6), "the points are those of the fit, the solver stops at 1e-7"


def test_gaps_and_sharpness(found: Probe, point: Point, by_hand: ByHand) -> None:
    step = torch.from_numpy(RHO * by_hand.g / np.linalg.norm(by_hand.g))
    rise = float(loss_of(by_hand.x + step, by_hand.inputs, by_hand.classes)) - by_hand.value
    assert value(found, "gap_one_step") == pytest.approx(rise, rel=ROUNDING)
    assert value(found, "gap_inner_max") >= rise
    model = found.quantities["gap_model"].interval
    assert model is not None
    exact = quadratic_on_ball(by_hand.g, by_hand.H, RHO).value
    assert model[0] * (1 - ROUNDING) <= exact <= model[1] * (1 + ROUNDING)
    # What the model leaves out is of the third order in rho = 0.1.
    assert value(found, "gap_inner_max") == pytest.approx(exact, rel=0.05)
    assert value(found, "sharpness_worst") == pytest.approx(value(found, "gap_inner_max") / RHO**2)
    assert value(found, "sharpness_ascent") == pytest.approx(rise / RHO**2)
    average = found.quantities["sharpness_average"]
    assert average.standard_error is not None
    # tr H/(2 d) up to the fourth order in rho over the dimension, and the draw: 5 standard errors.
    wanted = float(np.trace(by_hand.H)) / (2 * len(by_hand.g))
    assert abs(average.value - wanted) <= 5 * average.standard_error + 0.01 * wanted
    assert average.value == average_sharpness(point.objective, point.objective.start, RHO).value, "at this radius"
    assert value(found, "sharpness_worst") >= value(found, "sharpness_ascent") > average.value


def test_density_has_mass_one_and_the_trace_as_its_mean(found: Probe, by_hand: ByHand) -> None:
    density = found.density
    assert density is not None
    grid, height = density.grid.numpy(), density.density.numpy()
    step = float(grid[1] - grid[0])
    exact = np.linalg.eigvalsh(by_hand.H)
    # A margin of 5 % on either side of the spectrum, whose ends ARPACK found to 1e-6.
    assert grid[[0, -1]] == pytest.approx(exact[[0, -1]] + 0.05 * np.ptp(exact) * np.array([-1, 1]), rel=1e-4)
    # Tails of the bumps beyond the grid's ends, and the rectangle rule on bumps a few steps wide.
    assert height.sum() * step == pytest.approx(1, abs=0.02)
    mean = float(np.trace(by_hand.H)) / len(by_hand.g)
    error = float(np.sqrt(((grid * density.standard_error.numpy()) ** 2).sum())) * step
    assert float((grid * height).sum() * step) == pytest.approx(mean, abs=0.02 * float(grid[-1]) + 5 * error)


def test_edges_are_those_of_the_theory(found: Probe, by_hand: ByHand) -> None:
    norm = float(np.linalg.norm(by_hand.g))
    gamma = 0.2
    assert found.gamma == gamma
    edges = {edge.method: edge for edge in found.edges}
    wanted = {
        "sgd": 2 / gamma,
        "sam": float(sam_edge(gamma, RHO, np.array(norm))),
        "usam": usam_edge(gamma, RHO),
    }
    assert edges.keys() == wanted.keys()
    for name, edge in edges.items():
        assert edge.value == pytest.approx(wanted[name], rel=ROUNDING)
        assert edge.ratio == pytest.approx(value(found, "lambda_1") / wanted[name], rel=ROUNDING)
    # What the edges are: the factor of one step is -1 there.
    sam, usam = edges["sam"].value, edges["usam"].value
    assert 1 - gamma * sam - gamma * RHO * sam**2 / norm == pytest.approx(-1)
    assert 1 - gamma * usam * (1 + RHO * usam) == pytest.approx(-1)
    assert sam < usam < edges["sgd"].value


def test_grades(found: Probe) -> None:
    exact = {"loss", "gradient_norm", "variance", "noise_to_signal", "gap_one_step"}
    for name, quantity in found.quantities.items():
        assert quantity.grade is (Grade.EXACT if name in exact else Grade.ESTIMATE), name


def test_a_checkpoint_is_where_its_training_stood(kept: Kept) -> None:
    trained = load_point(MODEL, "digits", checkpoint=kept.file, device="cpu")
    x = torch.cat([part.reshape(-1) for part in kept.state.values()])
    assert torch.equal(trained.objective.start, x)
    assert trained.trained is not None
    assert trained.trained.logged == kept.loss
    # Sums over all examples in other chunks.
    assert float(trained.objective.value(x)) == pytest.approx(kept.loss, rel=ROUNDING)
    fresh = load_point(MODEL, "digits", seed=RUN.seed, device="cpu")
    assert fresh.trained is None
    assert torch.equal(fresh.objective.inputs, trained.objective.inputs)
    assert float(fresh.objective.value(fresh.objective.start)) > 1.3 * kept.loss
    with_other_seed = load_point(MODEL, "digits", checkpoint=kept.file, seed=9, device="cpu")
    assert torch.equal(with_other_seed.objective.start, x), "the seed is of the draws, the checkpoint has its own"


def test_buffers_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    """Running statistics, and a buffer that the model keeps out of its state: the loss depends on both."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom torch import nn\n\n"
        "class Counting(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.register_buffer('seen', torch.zeros(()), persistent=False)\n\n"
        "    def forward(self, x):\n"
        "        if self.training:\n            self.seen += 0.01\n"
        "        return x * (1 + self.seen)\n\n"
        "def build(shape, outputs):\n"
        "    return nn.Sequential(nn.Linear(shape[0], 4), nn.BatchNorm1d(4), Counting(), nn.Linear(4, outputs))\n"
    )
    spec, data = f"{file}:build", "blobs:n=40,d=3,classes=3"
    made = tmp_path / "run.pt"
    run = train(
        Training(model=spec, data=data, batch=8, epochs=4, device="cpu", dtype="float64", threads=1), checkpoint=made
    )
    there = load_point(spec, data, checkpoint=made, device="cpu").objective
    assert float(there.value(there.start)) == pytest.approx(run.rows[-1][5], rel=ROUNDING)
    file.write_text(file.read_text() + "\n# another\n")
    with pytest.raises(InputError, match="is of another model file"):
        load_point(spec, data, checkpoint=made, device="cpu")


def test_a_run_in_float32_is_looked_at_in_float64(tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    short = Training(model=MODEL, data="digits", method="sgd", epochs=1, device="cpu", threads=1)
    run = train(short, checkpoint=file)
    there = load_point(MODEL, "digits", checkpoint=file, device="cpu").objective
    assert there.start.dtype == torch.float64
    own = torch.cat([p.detach().reshape(-1) for p in run.model.parameters()])
    assert torch.equal(there.start, own.double()), "conversion upwards is exact"
    assert torch.equal(there.inputs, run.data.inputs.double())
    # The log is in float32: some eps n^(1/2) of it.
    assert float(there.value(there.start)) == pytest.approx(run.rows[-1][5], rel=1e-5)
    reached = probe(load_point(MODEL, "digits", checkpoint=file, examples=60, device="cpu"), top=1)
    assert reached.rho == 0.05, "the run had no radius"
    in_float32 = load_point(MODEL, "digits", checkpoint=file, examples=60, dtype="float32", device="cpu")
    # A curvature in float32, through products of some hundred terms.
    assert value(probe(in_float32, top=1), "lambda_1") == pytest.approx(value(reached, "lambda_1"), rel=1e-4)


def test_the_same_seed_gives_the_same_bits(kept: Kept, found: Probe) -> None:
    again = probe(load_point(MODEL, "digits", checkpoint=kept.file, examples=EXAMPLES, device="cpu"), top=TOP)
    assert again.as_json() == found.as_json()


def test_another_seed_draws_other_vectors_at_the_same_point(point: Point, found: Probe) -> None:
    other = probe(point, top=TOP, seed=1)
    for name in ("loss", "gradient_norm", "variance", "gap_one_step"):
        assert value(other, name) == value(found, name)
    for name in ("trace", "sharpness_average"):
        assert value(other, name) != value(found, name)
    assert value(other, "lambda_1") == pytest.approx(value(found, "lambda_1"), rel=1e-6)


def test_chunks_change_nothing_but_rounding(kept: Kept, point: Point) -> None:
    parts = load_point(MODEL, "digits", checkpoint=kept.file, examples=EXAMPLES, device="cpu", chunk=37).objective
    whole, x = point.objective, point.objective.start
    assert [len(inputs) for inputs, _ in parts.parts()] == [37, 37, 37, 37, 2]
    every = torch.arange(EXAMPLES)
    for one, other in (
        (parts.value(x), whole.value(x)),
        (parts.gradient(x), whole.gradient(x)),
        (parts.sample_gradients(x, every), whole.sample_gradients(x, every)),
        (Hessian(parts, x) @ x, Hessian(whole, x) @ x),
    ):
        assert torch.allclose(one, other, rtol=ROUNDING, atol=1e-12)


def test_what_does_not_exist_is_said(point: Point) -> None:
    """No radius: no ball. The full batch: no noise. No step size: no edges."""
    flat = probe(point, rho=0.0, batch=EXAMPLES)
    assert flat.sampling == "full"
    # E||g||^2 - ||g||^2 as a difference of two sums of the same numbers.
    assert value(flat, "variance") == pytest.approx(0, abs=1e-14)
    for name in ("gap_one_step", "gap_inner_max", "gap_model"):
        assert value(flat, name) == 0
    for name in ("A", "B", "C", "sharpness_worst", "sharpness_ascent", "sharpness_average"):
        assert math.isnan(value(flat, name)), name
    assert flat.covering is None
    assert [edge.value for edge in flat.edges] == [pytest.approx(10)] * 3, "all are gradient descent's at rho = 0"


def test_a_tiny_network_without_gradient(tmp_path: Path) -> None:
    """Zero inputs, two outputs, as many examples of each class: at zero parameters the gradient is 0 and H has two
    distinct eigenvalues, so that the density takes fewer steps and no direction is looked along."""
    file = tmp_path / "zero.py"
    file.write_text(
        "from torch import nn\n\ndef build(shape, outputs):\n    made = nn.Linear(shape[0], outputs)\n"
        "    nn.init.zeros_(made.weight)\n    nn.init.zeros_(made.bias)\n    return made\n"
    )
    np.savez(tmp_path / "zero.npz", X=np.zeros((8, 2)), y=np.arange(8) % 2, X_test=np.zeros((2, 2)), y_test=[0, 1])
    there = load_point(f"{file}:build", f"file={tmp_path / 'zero.npz'}", device="cpu")
    at = probe(there, gamma=0.5, batch=4, top=2)
    # H = (1/4) [[1, -1], [-1, 1]] on the biases, 0 on the weights.
    assert value(at, "lambda_1") == pytest.approx(0.5)
    assert value(at, "trace") == pytest.approx(0.5)
    assert at.quantities["trace"].standard_error == 0
    assert value(at, "gradient_norm") == 0
    for name in ("alignment", "alignment_top", "noise_to_signal", "sharpness_ascent"):
        assert math.isnan(value(at, name)), name
    assert value(at, "sharpness_worst") == pytest.approx(0.25, rel=1e-3), "lambda_1/2, up to the fourth order"
    assert at.density is not None, "with two steps"
    assert [edge.value for edge in at.edges][1] == 0, "SAM's edge at a zero gradient"


# -- the command --


def line_of(kept: Kept, *more: str) -> list[str]:
    given = ["net", "probe", "--model", MODEL, "--data", "digits", "--checkpoint", str(kept.file)]
    return [*given, "--device", "cpu", "--threads", "1", "--examples", str(EXAMPLES), *more]


def test_the_command_prints_and_writes_what_was_measured(
    kept: Kept, found: Probe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, picture = tmp_path / "probe.json", tmp_path / "density.png"
    assert run_command(line_of(kept, "--json", str(made), "--figure", str(picture))) == 0
    said = capsys.readouterr().out
    assert f"{kept.file}: epoch 3, step 270, sam, last gamma 0.2, rho 0.1, batch 16" in said
    assert f"{EXAMPLES} of 1438 training examples" in said
    for name, quantity in found.quantities.items():
        (row,) = [row for row in said.splitlines() if row.split(" ", 1)[0] == name]
        assert float(row.split()[1]) == pytest.approx(quantity.value, rel=1e-5), row
        assert quantity.how in row
    assert "(the method of the run)" in said
    assert "Every constant is an estimate" in said
    content = json.loads(made.read_text())
    assert content["format"] == "ravine net probe 1"
    assert content["versions"].keys() == {"python", "torch", "curvlinops-for-pytorch", "numpy", "scipy"}
    assert content["point"]["checkpoint"]["step"] == 270
    assert content["point"]["parameters"] == 235
    for key, part in json.loads(json.dumps(found.as_json())).items():
        assert content[key] == part, key
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["density.png", "probe.json"]


def test_without_a_checkpoint_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"net probe --model {MODEL} --data blobs:n=30,d=2 --device cpu --threads 1 --top 1 --out start.json"
    assert run_command(line.split()) == 0
    said = capsys.readouterr().out
    assert "no checkpoint: the freshly initialised network of this seed" in said
    assert "edges: no step size; give --gamma" in said
    content = json.loads((tmp_path / "start.json").read_text())
    assert content["point"]["checkpoint"] is None
    assert content["gamma"] is None
    assert content["edges"] == []


def test_steps_that_are_not_plain_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The step size is the last one of a schedule, and momentum and weight decay move the edges."""
    made, log = tmp_path / "run.pt", tmp_path / "run.csv"
    line = "--model mlp:width=3 --data blobs:n=30,d=2 --device cpu --threads 1"
    options = f"--gamma linear:start=0.3,steps=20 --momentum 0.9 --weight-decay 0.01 --epochs 2 --batch 10 --out {log}"
    assert run_command(f"net train {line} {options} --checkpoint {made}".split()) == 0
    with log.open() as stream:
        *_, last = csv.DictReader(stream)
    capsys.readouterr()
    assert run_command(f"net probe {line} --checkpoint {made} --json {tmp_path / 'out.json'}".split()) == 0
    said = capsys.readouterr().out
    assert "The run took its steps with sgd with momentum 0.9, which moves the edges" in said
    assert "Its weight decay 0.01 is not in H" in said
    content = json.loads((tmp_path / "out.json").read_text())
    assert 0 < content["gamma"] == float(last["gamma"]) < 0.3
    assert content["sampling"] == "tau-nice:tau=10"


def test_an_edge_far_beyond_the_spectrum_is_in_the_figure_too(found: Probe) -> None:
    from experiments.report.style import styled

    assert found.density is not None
    with styled():
        drawn = density_figure(found.density, found, "title")
        axes = drawn.axes[0]
        assert axes.get_xscale() == "symlog"
        assert axes.get_yscale() == "log"
        lines = {
            float(np.asarray(line.get_xdata())[0]) for line in axes.lines if str(line.get_label()).startswith("edge")
        }
        assert lines == {edge.value for edge in found.edges}
        assert axes.get_xlim()[1] > max(lines)
