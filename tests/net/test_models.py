"""Networks by SPEC: their shapes, their start from the seed alone, and the user's own file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.net.data import Data, load_data
from experiments.net.models import architectures, build_model
from problems.errors import InputError

SPECS = ("mlp", "mlp:width=5,depth=3,activation=softplus", "mlp:depth=0", "cnn:width=3", "resnet18:width=2")


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def flat(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def test_every_architecture_is_looked_at() -> None:
    assert {spec.partition(":")[0] for spec in SPECS} == set(architectures)


@pytest.mark.parametrize("spec", SPECS)
def test_contract(spec: str, digits: Data) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    model = build_model(spec, digits, seed=1)
    assert torch.equal(torch.rand(3), wanted), "the global random state was touched"
    assert model.training
    assert model(digits.inputs[:4]).shape == (4, 10)
    start = flat(model)
    torch.manual_seed(8)
    assert torch.equal(flat(build_model(spec, digits, seed=1)), start)
    assert not torch.equal(flat(build_model(spec, digits, seed=2)), start)
    # The same start in every dtype.
    double = build_model(spec, digits, seed=1, dtype=torch.float64)
    assert torch.equal(flat(double), start.double())
    # Every parameter has a part in the loss.
    nn.functional.cross_entropy(model(digits.inputs[:64]), digits.targets[:64]).backward()
    assert all(part.grad is not None and part.grad.abs().max() > 0 for part in model.parameters())


def test_sizes(digits: Data) -> None:
    count = {spec: len(flat(build_model(spec, digits))) for spec in ("mlp:width=5,depth=2", "mlp:depth=0")}
    assert count == {"mlp:width=5,depth=2": 65 * 5 + 6 * 5 + 6 * 10, "mlp:depth=0": 650}


def test_resnet18_is_the_published_size() -> None:
    """11,173,962 parameters for ten classes and colour images: the number everyone reports for this variant."""
    images = torch.zeros(2, 3, 32, 32)
    data = Data("images", images, torch.tensor([0, 9]), images, torch.tensor([0, 9]), 10)
    model = build_model("resnet18", data)
    assert len(flat(model)) == 11_173_962
    seen: list[tuple[int, ...]] = []
    for block in list(model.children())[3:11]:
        block.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert model(images).shape == (2, 10)
    assert seen[::2] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_numbers_as_targets() -> None:
    data = load_data("teacher-student:n=10,d=4", dtype=torch.float64)
    model = build_model("mlp:width=3", data)
    assert model(data.inputs).shape == (10, 1)
    assert flat(model).dtype == torch.float64


@pytest.mark.parametrize(
    ("spec", "pattern"),
    [
        ("mpl", "unknown model 'mpl'; the nearest is 'mlp'"),
        ("mlp:width=0", "width of model 'mlp' must be a whole number >= 1, got 0"),
        ("mlp:depth=-1", "depth of model 'mlp' must be a whole number >= 0, got -1"),
        ("mlp:activation=sin", "must be one of tanh, relu, softplus, got 'sin'"),
        ("mlp:data=1", "unknown key 'data'"),
        ("cnn", r"model 'cnn' takes images, .* data 'blobs:.*' has inputs of shape \(20,\)"),
        ("resnet18", "model 'resnet18' takes images"),
    ],
)
def test_faults(spec: str, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern):
        build_model(spec, load_data("blobs:n=30"))


# -- the user's own --

GOOD = """
from dataclasses import dataclass
from torch import nn

@dataclass
class Sizes:
    width: int = 3

def build(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], Sizes().width), nn.Dropout(0.5),
                         nn.Linear(Sizes().width, outputs))
"""


def test_a_file_of_the_user(tmp_path: Path, digits: Data) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    state = torch.get_rng_state()
    model = build_model(f"{file}:build", digits, seed=1, dtype=torch.float64)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(part.training for part in model.modules())
    assert model(digits.inputs[:4].double()).shape == (4, 10)
    assert torch.equal(flat(model), flat(build_model(f"{file}:build", digits, seed=1, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("def build(shape, outputs):\n    return 3", "must return a torch.nn.Module, got int"),
        (
            "def build(shape, outputs):\n    return 1 / 0",
            r"fails in line 2, at build\(\(1, 8, 8\), 10\) with ZeroDivision",
        ),
        ("def build(shape):\n    pass", "fails, at build.* with TypeError"),
        ("import sys\nsys.exit(0)", "calls for exit in line 2, at the file itself"),
        ("x = 1\nraise KeyError('a\\nb')", "fails in line 2, at the file itself with KeyError"),
        ("def build(:", "cannot be parsed in line 1"),
        ("build = 3", "names the function 'build', which its file does not have"),
        (GOOD.replace("outputs))", "4))"), r"must give outputs of shape \(2, 10\) for 2 inputs, got \(2, 4\)"),
        (GOOD.replace("shape[0] *", "2 * shape[0] *"), r"fails, at two inputs of shape \(1, 8, 8\) with RuntimeError"),
        (
            "from torch import nn\nclass N(nn.Module):\n  def forward(self, x):\n    return x.flatten(1)[:, :10]\n"
            "def build(shape, outputs):\n  return N()",
            "must have parameters that need a gradient, got none",
        ),
    ],
)
def test_faults_of_a_file(tmp_path: Path, digits: Data, text: str, pattern: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(InputError, match=pattern) as caught:
        build_model(f"{file}:build", digits)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none(tmp_path: Path, digits: Data) -> None:
    for spec, pattern in (
        (f"{tmp_path}/none.py:build", "names a file that does not exist"),
        (f"{tmp_path}/none.py", r"names no function of its file; write FILE.py:FUNCTION"),
        (f"{tmp_path}/none.py:1", r"names no function"),
    ):
        with pytest.raises(InputError, match=pattern):
            build_model(spec, digits)
