"""Data to train on, by SPEC: examples with classes or numbers as targets, in a training and a test part.

`load_data("digits")`, `load_data("cifar10:folder=DIR")`, `load_data("file=mine.npz")`. A SPEC without its own `seed`
takes the one of the call; the name of what is loaded gives it, so that the name loads the same data again.
"""

from __future__ import annotations

import hashlib
import importlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from problems.errors import InputError
from problems.problem import check_count, check_memory, check_nonnegative
from problems.spec import Catalogue, spelled

from .cifar import HUNDRED, TEN, Layout, read_cifar
from .seeds import numpy_stream

Array = NDArray[Any]


class Arrays(NamedTuple):
    """What a builder gives: examples along the first axis; targets are class numbers (n,), or numbers (n, k)."""

    name: str
    X: Array
    y: Array
    X_test: Array
    y_test: Array
    classes: int


sources: Catalogue[Arrays] = Catalogue("data", ())
"""Every source of data that has a SPEC."""


@dataclass(frozen=True)
class Data:
    """Examples to train and to test on.

    name: the SPEC. inputs (n, ...), test_inputs: of one floating dtype, on one device. targets: class numbers in
    0..classes-1, int64 (n,); or, where classes is 0, numbers (n, k) of the dtype of the inputs.
    """

    name: str
    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    classes: int

    @property
    def n(self) -> int:
        """Examples to train on."""
        return len(self.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.inputs.shape[1:])

    @property
    def outputs(self) -> int:
        """How many numbers a network has to say of one input."""
        return self.classes or int(self.targets.shape[1])

    def digest(self) -> str:
        """Of every number in it: what tells two files of one name apart."""
        found = hashlib.sha256()
        for part in (self.inputs, self.targets, self.test_inputs, self.test_targets):
            found.update(repr((part.dtype, tuple(part.shape))).encode())
            found.update(np.ascontiguousarray(part.cpu().numpy()).data)
        return found.hexdigest()


def load_data(
    spec: str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", seed: int = 0
) -> Data:
    """The data that `spec` names.

    spec: `digits`, `breast_cancer`, `cifar10:folder=DIR`, `cifar100:folder=DIR,labels=fine|coarse`, `teacher-student`,
    `blobs`, `npz:file=F.npz`, or just the name of an .npz file. dtype: of the inputs, float32 or float64. seed >= 0: of
    the split or the draw.
    Raises InputError for an unknown SPEC, files that are missing or damaged, NaN or infinite entries, labels that are
    not whole or out of range, shapes that do not match, and a training part of one class.
    """
    check_count(seed, argument="seed", least=0)
    precision = np.float64 if dtype == torch.float64 else np.float32
    context = {"default_seed": seed, "precision": precision}
    # What overflows is seen, and named, by the check of the numbers themselves.
    with np.errstate(over="ignore", invalid="ignore"):
        found = _found(spec, context)
    return _as_tensors(found, dtype, torch.device(device))


def _found(spec: str, context: dict[str, Any]) -> Arrays:
    if spec.startswith("file=") or (spec.endswith(".npz") and ":" not in spec):
        # Not through the grammar: the name of a file may hold a comma.
        file, more, rest = spec.removeprefix("file=").partition(".npz,")
        text = "npz" + (f":{rest}" if rest else "")
        return sources.build(text, file=f"{file}.npz" if more else file, **context)
    return sources.build(spec, **context)


def _as_tensors(found: Arrays, dtype: torch.dtype, device: torch.device) -> Data:
    _check_targets(found)
    parts: list[Tensor] = []
    for X, y in ((found.X, found.y), (found.X_test, found.y_test)):
        with np.errstate(over="ignore"):
            inputs = torch.tensor(X, dtype=dtype)
        targets = torch.tensor(y, dtype=torch.int64 if found.classes else dtype)
        for what, part in (("inputs", inputs), ("targets", targets)):
            if part.is_floating_point() and not bool(torch.isfinite(part).all()):
                raise InputError(f"data {found.name!r} has {what} that are NaN, infinite or too large for {dtype}")
        parts += [inputs.to(device), targets.to(device)]
    return Data(found.name, parts[0], parts[1], parts[2], parts[3], found.classes)


def _check_targets(found: Arrays) -> None:
    if not found.classes:
        return
    for y in (found.y, found.y_test):
        wrong = np.flatnonzero(~((y >= 0) & (y < found.classes) & (y == np.floor(y))))
        if wrong.size:
            raise InputError(
                f"data {found.name!r} has the label {y[wrong[0]].item()!r}; labels must be whole numbers in "
                f"0..{found.classes - 1}"
            )
    if len(seen := np.unique(found.y)) < 2:
        raise InputError(
            f"data {found.name!r} has the one class {int(seen[0])} among its {len(found.y)} training examples; "
            "it must have at least two"
        )


# -- parts and scales --


def _split(X: Array, y: Array, share: float, seed: int, source: str) -> tuple[Array, Array, Array, Array]:
    """Training inputs and targets, test inputs and targets: a random part of this share is the test part."""
    if not 0 < share < 1:
        raise InputError(f"test of data {source!r} must lie in (0, 1), a share of the examples, got {share!r}")
    if len(X) < 2:
        raise InputError(f"data {source!r} must have at least two examples, one to test on, got {len(X)}")
    order = numpy_stream(seed, "split").permutation(len(X))
    cut = len(X) - min(max(round(share * len(X)), 1), len(X) - 1)
    train, test = order[:cut], order[cut:]
    return X[train], y[train], X[test], y[test]


def _standardised(X: Array, X_test: Array) -> tuple[Array, Array]:
    """Both, each entry less its mean over the training part and divided by its deviation; a constant one becomes 0."""
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    constant = X.max(axis=0) == X.min(axis=0)
    # A pixel that is constant in training has no scale to measure it by, whatever it is in the test part.
    scale = np.where(constant, 0.0, 1 / np.where(constant, 1.0, deviation))
    return (X - mean) * scale, (X_test - mean) * scale


def _seed(given: int | None, default: int, source: str) -> int:
    return default if given is None else check_count(given, argument=f"seed of data {source!r}", least=0)


# -- real data --


def _bundled(name: str, shape: tuple[int, ...], test: float, seed: int | None, default_seed: int) -> Arrays:
    chosen = _seed(seed, default_seed, name)
    # Imported late: it takes a second, and most data need none of it.
    bunch = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")()
    X, y = np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target)
    X, y, X_test, y_test = _split(X, y, test, chosen, name)
    X, X_test = _standardised(X, X_test)
    full = f"{name}:test={spelled(test)},seed={chosen}"
    return Arrays(full, X.reshape(-1, *shape), y, X_test.reshape(-1, *shape), y_test, len(bunch.target_names))


@sources.register("digits")
def _digits(default_seed: int, test: float = 0.2, seed: int | None = None) -> Arrays:
    """1,797 images of 8 x 8 pixels in ten classes, as scikit-learn ships them, every pixel standardised."""
    return _bundled("digits", (1, 8, 8), test, seed, default_seed)


@sources.register("breast_cancer")
def _breast_cancer(default_seed: int, test: float = 0.2, seed: int | None = None) -> Arrays:
    """569 examples of 30 features in two classes, as scikit-learn ships them, every feature standardised."""
    return _bundled("breast_cancer", (30,), test, seed, default_seed)


def _cifar(name: str, folder: str, layout: Layout, label: int, precision: type[np.floating[Any]]) -> Arrays:
    (pixels, y), (test_pixels, y_test) = read_cifar(folder, layout, label)
    check_memory((pixels.size + test_pixels.size) * 2, what=f"data {name!r}")
    X, X_test = pixels.astype(precision), test_pixels.astype(precision)
    for channel in range(3):
        # From the counts of the 256 values: exact, and no copy in float64.
        counts = np.bincount(pixels[:, channel].reshape(-1), minlength=256) / (pixels.size / 3)
        values = np.arange(256)
        mean = float(counts @ values)
        deviation = float(np.sqrt(counts @ (values - mean) ** 2))
        for part in (X, X_test):
            part[:, channel] -= mean
            part[:, channel] /= deviation if deviation > 0 else 1.0
    return Arrays(name, X, y, X_test, y_test, layout.labels[label])


@sources.register("cifar10")
def _cifar10(folder: str, precision: type[np.floating[Any]]) -> Arrays:
    """CIFAR-10 from the files of its binary version, every channel standardised."""
    return _cifar(f"cifar10:folder={folder}", folder, TEN, 0, precision)


@sources.register("cifar100")
def _cifar100(folder: str, precision: type[np.floating[Any]], labels: Literal["fine", "coarse"] = "fine") -> Arrays:
    """CIFAR-100 from the files of its binary version, every channel standardised."""
    name = f"cifar100:folder={folder},labels={labels}"
    return _cifar(name, folder, HUNDRED, ("coarse", "fine").index(labels), precision)


# -- synthetic data --


def _sizes(source: str, **sizes: int) -> None:
    for key, size in sizes.items():
        check_count(size, argument=f"{key} of data {source!r}")


@sources.register("teacher-student")
def _teacher_student(
    default_seed: int,
    n: int = 1000,
    d: int = 20,
    width: int = 10,
    noise: float = 0.0,
    test: int | None = None,
    seed: int | None = None,
) -> Arrays:
    """y = a . tanh(W x) + noise z, x and z standard normal, W (width, d) and a (width,) normal with variances 1/d and
    1/width. n examples to train on, and `test` more (a quarter of n unless given)."""
    chosen = _seed(seed, default_seed, "teacher-student")
    extra = -(-n // 4) if test is None else test
    _sizes("teacher-student", n=n, d=d, width=width, test=extra)
    check_nonnegative(noise, argument="noise of data 'teacher-student'")
    check_memory((n + extra) * (2 * d + width), what="data 'teacher-student'")
    draw = numpy_stream(chosen, "teacher-student")
    W, a = draw.standard_normal((width, d)) / np.sqrt(d), draw.standard_normal(width) / np.sqrt(width)
    X = draw.standard_normal((n + extra, d))
    y = (np.tanh(X @ W.T) @ a + noise * draw.standard_normal(n + extra))[:, None]
    name = f"teacher-student:n={n},d={d},width={width},noise={spelled(noise)},test={extra},seed={chosen}"
    return Arrays(name, X[:n], y[:n], X[n:], y[n:], 0)


@sources.register("blobs")
def _blobs(
    default_seed: int,
    n: int = 1000,
    d: int = 20,
    classes: int = 3,
    spread: float = 1.0,
    test: int | None = None,
    seed: int | None = None,
) -> Arrays:
    """Normal clouds with deviation `spread` in every direction around standard normal centres, one for each class, all
    of one size up to 1. n examples to train on, and `test` more (a quarter of n unless given)."""
    chosen = _seed(seed, default_seed, "blobs")
    extra = -(-n // 4) if test is None else test
    _sizes("blobs", n=n, d=d, test=extra)
    check_count(classes, argument="classes of data 'blobs'", least=2)
    check_nonnegative(spread, argument="spread of data 'blobs'")
    if classes > n:
        raise InputError(f"classes of data 'blobs' must be at most n = {n}, got {classes}")
    check_memory(2 * (n + extra + classes) * d, what="data 'blobs'")
    draw = numpy_stream(chosen, "blobs")
    centres = draw.standard_normal((classes, d))
    y = np.concatenate([draw.permutation(np.arange(count) % classes) for count in (n, extra)])
    X = centres[y] + spread * draw.standard_normal((n + extra, d))
    name = f"blobs:n={n},d={d},classes={classes},spread={spelled(spread)},test={extra},seed={chosen}"
    return Arrays(name, X[:n], y[:n], X[n:], y[n:], classes)


# -- the user's own --


@sources.register("npz")
def _npz(
    file: str, default_seed: int, test: float = 0.2, classes: int | None = None, seed: int | None = None
) -> Arrays:
    """Arrays X (n, ...) and y from an .npz file, as they are: y (n,) are class numbers from 0, y (n, k) numbers.

    X_test and y_test, where the file has them, are the test part; otherwise a share `test` is. classes: largest label
    + 1 unless given.
    """
    chosen = _seed(seed, default_seed, "npz")
    found = _read_npz(file)
    # The SPEC of a class count stands only where it was given: the arrays say the rest.
    keys = [f"classes={classes}"] if classes is not None else []
    if "X_test" in found:
        X, y, X_test, y_test = found["X"], found["y"], found["X_test"], found["y_test"]
    else:
        X, y, X_test, y_test = _split(found["X"], found["y"], test, chosen, f"file={file}")
        keys += [f"test={spelled(test)}", f"seed={chosen}"]
    name = ",".join([f"file={file}", *keys])
    count = 0
    if y.ndim == 1:
        highest = max(float(part.max()) for part in (y, y_test))
        # A stray label of a billion would ask for as many outputs.
        most = len(y) + len(y_test)
        count = check_count(classes, argument=f"classes of file {file!r}", least=2) if classes is not None else 0
        if count == 0 and not highest < most:
            raise InputError(
                f"file {file!r} has the label {highest:g} in 'y'; labels must be whole numbers from 0 to less than "
                f"the {most} examples, unless classes= says otherwise"
            )
        count = count or max(int(highest) + 1, 1)
    elif classes is not None:
        raise InputError(f"classes of file {file!r} must be left out where y has two dimensions, got {classes}")
    return Arrays(name, X, y, X_test, y_test, count)


def _read_npz(file: str) -> dict[str, Array]:
    """The arrays of the file, checked one by one and against each other."""
    path, form = Path(file), "write it with numpy.savez(file, X=..., y=...)"
    if not path.is_file():
        raise InputError(f"file {file!r} does not exist, or is no file; {form}")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"file {file!r} is not a .npz file; {form}")
        with np.load(path, allow_pickle=False) as archive:
            pairs = {"X": "y", "X_test": "y_test"}
            for first, second in pairs.items():
                for one, other in ((first, second), (second, first)):
                    if one not in archive.files and (other in archive.files or first == "X"):
                        raise InputError(f"file {file!r} lacks the array {one!r}; {form}")
            for member in archive.zip.infolist():
                check_memory(member.file_size // 4, what=f"file {file!r}")
            found = {name: archive[name] for pair in pairs.items() for name in pair if name in archive.files}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"file {file!r} cannot be read ({error.strerror or error}); {form}") from None
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        pickled = "pickle" in str(error) or "Object arrays" in str(error)
        fault = "holds pickled objects" if pickled else "is damaged"
        raise InputError(f"file {file!r} {fault}; {form}") from None
    for name, array in found.items():
        _check_array(file, name, array)
    for first, second in (("X", "y"), ("X_test", "y_test")):
        if first in found and len(found[first]) != len(found[second]):
            raise InputError(
                f"arrays {first!r} and {second!r} of file {file!r} must be of one length, got {len(found[first])} "
                f"and {len(found[second])}"
            )
    for name in ("X_test", "y_test"):
        own = name.removesuffix("_test")
        if name in found and found[name].shape[1:] != found[own].shape[1:]:
            raise InputError(
                f"arrays {own!r} and {name!r} of file {file!r} must agree but for their length, got shapes "
                f"{found[own].shape} and {found[name].shape}"
            )
    return found


def _check_array(file: str, name: str, array: Array) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"array {name!r} of file {file!r} must hold real numbers, got {array.dtype}")
    if name.startswith("X") and (array.ndim < 2 or 0 in array.shape):
        raise InputError(f"array {name!r} of file {file!r} must have shape (n, d) or (n, ...), got {array.shape}")
    if name.startswith("y") and (array.ndim not in (1, 2) or 0 in array.shape):
        raise InputError(
            f"array {name!r} of file {file!r} must have shape (n,) for classes or (n, k) for numbers, got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InputError(
            f"array {name!r} of file {file!r} holds NaN or infinite entries; only finite numbers are allowed"
        )
