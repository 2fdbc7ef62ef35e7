"""Data by SPEC: what is loaded is what the SPEC says, the same every time, and faults are one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from experiments.net import cifar
from experiments.net.data import Data, load_data, sources
from problems.errors import InputError

SPECS = {
    "digits": "digits",
    "breast_cancer": "breast_cancer",
    "teacher-student": "teacher-student:n=50,d=4,width=3,noise=0.1",
    "blobs": "blobs:n=60,d=5,classes=4,spread=0.5",
}
FROM_FILES = {"cifar10", "cifar100", "npz"}


def tensors(data: Data) -> tuple[torch.Tensor, ...]:
    return data.inputs, data.targets, data.test_inputs, data.test_targets


def same(one: Data, other: Data) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def test_every_source_is_looked_at() -> None:
    assert set(sources) == set(SPECS) | FROM_FILES


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_contract(spec: str) -> None:
    data = load_data(spec, dtype=torch.float64, seed=3)
    assert len(data.targets) == data.n > 0
    assert len(data.test_inputs) == len(data.test_targets) > 0
    assert data.inputs.dtype == data.test_inputs.dtype == torch.float64
    assert data.test_inputs.shape[1:] == data.shape
    if data.classes:
        assert data.targets.dtype == torch.int64
        assert set(data.targets.tolist()) == set(range(data.classes)) == set(range(data.outputs))
    else:
        assert data.targets.shape == (data.n, data.outputs)
        assert data.targets.dtype == torch.float64
    assert same(data, load_data(spec, dtype=torch.float64, seed=3))
    assert not same(data, load_data(spec, dtype=torch.float64, seed=4))
    # The name says the seed, so it loads the same data under any other.
    again = load_data(data.name, dtype=torch.float64, seed=9)
    assert again.name == data.name
    assert same(data, again)
    assert again.digest() == data.digest() != load_data(spec, dtype=torch.float64, seed=4).digest()
    # float32 is the same data, rounded.
    assert torch.equal(load_data(spec, dtype=torch.float32, seed=3).inputs, data.inputs.to(torch.float32))


def test_digits_are_split_and_standardised() -> None:
    data = load_data("digits", dtype=torch.float64, seed=0)
    everything = load_digits()
    assert data.shape == (1, 8, 8)
    assert data.n + len(data.test_inputs) == 1797
    counts = torch.bincount(torch.cat([data.targets, data.test_targets]))
    assert counts.tolist() == np.bincount(everything.target).tolist()
    flat = data.inputs.reshape(data.n, 64)
    # Sums of some 1,400 numbers of size 1: their rounding is far below 1e-12.
    assert float(flat.mean(dim=0).abs().max()) < 1e-12
    deviation = flat.std(dim=0, correction=0)
    constant = deviation == 0
    assert float((deviation[~constant] - 1).abs().max()) < 1e-12
    assert 0 < int(constant.sum()) < 10
    # The test part is measured by the training part, so its own deviations are near 1 but not 1.
    other = data.test_inputs.reshape(-1, 64)[:, ~constant].std(dim=0, correction=0)
    assert float((other - 1).abs().max()) > 1e-3


def test_teacher_student_is_the_rule_it_states() -> None:
    """With one unit and no noise the target is a function of one projection: -y at -x, |y| <= |a|, linear near 0."""
    data = load_data("teacher-student:n=4000,d=3,width=1,seed=1", dtype=torch.float64)
    x, y = data.inputs, data.targets[:, 0]
    small = (x.norm(dim=1) < 0.3).nonzero()[:, 0]
    w = torch.linalg.lstsq(x[small], y[small][:, None]).solution[:, 0]
    order = (x @ w).argsort()
    steps = y[order].diff()
    # Nearly linear there: the fitted direction orders all targets but for neighbours closer than its error.
    assert float(steps.clamp(max=0).abs().max()) < 0.05 * float(y.abs().max())
    noisy = load_data("teacher-student:n=4000,d=3,width=1,noise=0.5,seed=1", dtype=torch.float64)
    assert torch.equal(noisy.inputs, x)
    # Deviation of 4,000 normal numbers: its standard error is 0.5/sqrt(8000) = 0.006; five of them.
    assert float((noisy.targets[:, 0] - y).std()) == pytest.approx(0.5, abs=0.03)


def test_blobs_have_their_centres_and_spread() -> None:
    data = load_data("blobs:n=9000,d=2,classes=3,spread=0.1,seed=2", dtype=torch.float64)
    assert torch.bincount(data.targets).tolist() == [3000] * 3
    for label in range(3):
        # 6,000 normal numbers: the standard error is 0.1/sqrt(12000) = 0.001; five of them.
        part = data.inputs[data.targets == label]
        assert float((part - part.mean(dim=0)).std()) == pytest.approx(0.1, abs=0.005)
        assert torch.allclose(data.test_inputs[data.test_targets == label].mean(dim=0), part.mean(dim=0), atol=0.02)


# -- CIFAR: rows as the published files have them, in files of fewer rows --


def write_cifar(folder: Path, layout: cifar.Layout, rows: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    tables = {}
    for name in (*layout.train, layout.test):
        count = rows * (1 if name == layout.test else layout.times)
        heads = [np.arange(count, dtype=np.uint8)[:, None] % size for size in layout.labels]
        tables[name] = np.concatenate([*heads, draw.integers(0, 256, (count, 3072), dtype=np.uint8)], axis=1)
        tables[name].tofile(folder / name)
    return tables


@pytest.mark.parametrize("inner", [False, True], ids=["files", "archive folder"])
def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: bool) -> None:
    monkeypatch.setattr(cifar, "BATCH", 20)
    place = tmp_path / cifar.TEN.folder if inner else tmp_path
    place.mkdir(exist_ok=True)
    tables = write_cifar(place, cifar.TEN, 20)
    data = load_data(f"cifar10:folder={tmp_path}", dtype=torch.float64)
    assert (data.n, len(data.test_inputs), data.shape, data.classes) == (100, 20, (3, 32, 32), 10)
    table = np.concatenate([tables[name] for name in cifar.TEN.train])
    assert data.targets.tolist() == table[:, 0].tolist()
    pixels = table[:, 1:].reshape(-1, 3, 32, 32).astype(float)
    wanted = (pixels - pixels.mean(axis=(0, 2, 3), keepdims=True)) / pixels.std(axis=(0, 2, 3), keepdims=True)
    # Two ways of summing 100,000 whole numbers below 256.
    np.testing.assert_allclose(data.inputs.numpy(), wanted, rtol=0, atol=1e-12)


def test_cifar100_has_two_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "BATCH", 40)
    tables = write_cifar(tmp_path, cifar.HUNDRED, 40)
    for place, (labels, classes) in enumerate((("coarse", 20), ("fine", 100))):
        data = load_data(f"cifar100:folder={tmp_path},labels={labels}")
        assert (data.n, data.classes) == (200, classes)
        assert data.targets.tolist() == tables["train.bin"][:, place].tolist()
    assert load_data(f"cifar100:folder={tmp_path}").classes == 100


def test_cifar_files_have_their_official_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"folder of CIFAR-10 must be a folder .* got '.*nowhere'"):
        load_data(f"cifar10:folder={tmp_path / 'nowhere'}")
    with pytest.raises(
        InputError, match=r"data_batch_1.bin' is missing; .* 30,730,000 bytes there, 10,000 rows of 3,073"
    ):
        load_data(f"cifar10:folder={tmp_path}")
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073))
    with pytest.raises(InputError, match=r"data_batch_1.bin' has 3,073 bytes; .* 30,730,000 bytes"):
        load_data(f"cifar10:folder={tmp_path}")
    with pytest.raises(InputError, match=r"train.bin' is missing; .* 153,700,000 bytes there, 50,000 rows of 3,074"):
        load_data(f"cifar100:folder={tmp_path}")
    monkeypatch.setattr(cifar, "BATCH", 20)
    tables = write_cifar(tmp_path, cifar.TEN, 20)
    tables["test_batch.bin"][7, 0] = 10
    tables["test_batch.bin"].tofile(tmp_path / "test_batch.bin")
    with pytest.raises(InputError, match=r"test_batch.bin' has the label 10 in row 7; CIFAR-10 has labels 0..9"):
        load_data(f"cifar10:folder={tmp_path}")


# -- the user's own --


def test_npz(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    X, y = draw.standard_normal((50, 2, 3)), draw.integers(0, 4, 50)
    file = tmp_path / "a,b.npz"
    np.savez(file, X=X, y=y)
    data = load_data(str(file), dtype=torch.float64, seed=1)
    assert (data.n, len(data.test_inputs), data.shape, data.classes) == (40, 10, (2, 3), 4)
    together = torch.cat([data.inputs, data.test_inputs]).reshape(50, 6).numpy()
    assert sorted(map(tuple, together)) == sorted(map(tuple, X.reshape(50, 6)))
    pairs = {tuple(x): int(label) for x, label in zip(X.reshape(50, 6), y, strict=True)}
    assert [pairs[tuple(x)] for x in data.inputs.reshape(40, 6).tolist()] == data.targets.tolist()
    assert same(data, load_data(data.name, dtype=torch.float64, seed=8))
    assert load_data(f"file={file},test=0.5").n == 25

    np.savez(file, X=X, y=y, X_test=X[:5], y_test=y[:5])
    data = load_data(f"file={file},classes=7", dtype=torch.float64)
    assert (data.n, data.classes) == (50, 7)
    assert torch.equal(data.test_inputs, torch.from_numpy(X[:5]))

    plain = tmp_path / "numbers.npz"
    np.savez(plain, X=X, y=X[:, 0])
    data = load_data(f"npz:test=0.1,file={plain}", dtype=torch.float64)
    assert (data.classes, data.outputs) == (0, 3)
    assert torch.equal(data.targets, data.inputs[:, 0])


SOUND: dict[str, Any] = {"X": np.arange(12.0).reshape(6, 2), "y": np.array([0, 1, 0, 1, 2, 0])}


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"X": np.array([[0.0, np.nan]] * 6)}, "array 'X' .* holds NaN or infinite entries"),
        ({"X": np.full((6, 2), 1e300)}, "inputs that are NaN, infinite or too large for torch.float32"),
        ({"y": np.array([0, 1, np.nan, 1, 0, 0])}, "array 'y' .* holds NaN"),
        ({"y": np.array([0, 1, -1, 1, 0, 0])}, r"has the label -1; labels must be whole numbers in 0\.\.1"),
        ({"y": np.array([0, 1, 0.5, 1, 0, 0])}, r"has the label 0\.5; labels must be whole numbers in 0\.\.1"),
        ({"y": np.array([0, 1, 0, 1, 0, 10**9])}, r"has the label 1e\+09 in 'y'; labels .* less than the 6 examples"),
        ({"y": np.zeros(6)}, "has the one class 0 among its 5 training examples"),
        ({"y": np.zeros(5)}, "arrays 'X' and 'y' .* must be of one length, got 6 and 5"),
        ({"y": np.zeros((6, 2, 2))}, r"array 'y' .* shape \(n,\) for classes or \(n, k\) .* got \(6, 2, 2\)"),
        ({"X": np.zeros(6)}, r"array 'X' .* must have shape \(n, d\) or \(n, ...\), got \(6,\)"),
        ({"X": np.zeros((6, 0))}, r"array 'X' .* got \(6, 0\)"),
        ({"X": np.array([["a"]] * 6)}, "array 'X' .* must hold real numbers, got <U1"),
        ({"X": np.array([[{}]] * 6)}, "holds pickled objects"),
        ({"X": np.zeros((1, 2)), "y": np.zeros(1)}, "must have at least two examples"),
        ({"X_test": np.zeros((3, 2))}, "lacks the array 'y_test'"),
        ({"X_test": np.zeros((3, 4)), "y_test": np.zeros(3)}, r"agree but for their length, got shapes \(6, 2\)"),
        ({"X_test": np.zeros((3, 2)), "y_test": np.zeros((3, 1))}, "agree but for their length"),
        ({"y": None}, "lacks the array 'y'"),
        ({"X": None}, "lacks the array 'X'"),
    ],
)
def test_npz_faults(tmp_path: Path, changes: dict[str, Any], pattern: str) -> None:
    file = tmp_path / "bad.npz"
    arrays: dict[str, Any] = {name: array for name, array in {**SOUND, **changes}.items() if array is not None}
    np.savez(file, **arrays)
    with pytest.raises(InputError, match=pattern) as caught:
        load_data(str(file))
    assert "\n" not in str(caught.value)


def test_npz_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "bad.npz"
    with pytest.raises(InputError, match="does not exist"):
        load_data(str(file))
    file.write_bytes(b"not a zip")
    with pytest.raises(InputError, match=r"is not a \.npz file"):
        load_data(str(file))
    np.savez(file, **SOUND)
    file.write_bytes(file.read_bytes().replace(b"NUMPY", b"NUMBY"))
    with pytest.raises(InputError, match="is damaged"):
        load_data(str(file))


@pytest.mark.parametrize(
    ("spec", "pattern"),
    [
        ("digit", "unknown data 'digit'; the nearest is 'digits'"),
        ("digits:test=1", r"test of data 'digits' must lie in \(0, 1\), .* got 1.0"),
        ("digits:seed=-1", "seed of data 'digits' must be a whole number >= 0, got -1"),
        ("digits:split=1", "unknown key 'split' in data"),
        ("cifar10", "lacks the key 'folder'"),
        ("cifar100:labels=rough,folder=.", "must be one of fine, coarse, got 'rough'"),
        ("blobs:classes=1", "classes of data 'blobs' must be a whole number >= 2, got 1"),
        ("blobs:n=2,classes=3", "classes of data 'blobs' must be at most n = 2, got 3"),
        ("blobs:spread=-1", "spread of data 'blobs' must be .* >= 0, got -1.0"),
        ("blobs:n=1e12", "GiB"),
        ("teacher-student:d=0", "d of data 'teacher-student' must be a whole number >= 1, got 0"),
        ("teacher-student:noise=nan", "noise of data 'teacher-student' must be a finite number"),
    ],
)
def test_spec_faults(spec: str, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern):
        load_data(spec)
