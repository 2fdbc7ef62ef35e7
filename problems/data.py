"""Reading (A, b) from files and from the data sets bundled with scikit-learn."""

from __future__ import annotations

import importlib
import math
import mmap
import platform
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError, nearest
from .problem import Matrix, Vector, check_memory

Scale = Literal["none", "rows", "columns"]

BUNDLED = ("breast_cancer", "diabetes", "digits")

# Column numbers beyond this do not fit the sparse reader's integers.
_LARGEST_INDEX = 2**31 - 1


class DataSet(NamedTuple):
    """Features A (n, d), C-contiguous float64, targets b (n,), a sentence about where they came from, and whether A
    stays on disk; its entries have not been looked at then."""

    A: Matrix
    b: Vector
    description: str
    mapped: bool = False


def load(
    *,
    file: str | None,
    data: str | None,
    scale: Scale,
    positive: str | None,
    classification: bool,
    b: str | None = None,
) -> DataSet:
    """Read features and targets from a file or a bundled data set.

    file: LIBSVM (`.svm`, `.libsvm`, `.txt`; indices start at 1 and increase along a line), CSV (`.csv`; no
        header, last column the target), `.npz` (arrays `A` of shape (n, d) and `b` of shape (n,)), or `.npy` with A
        alone, float64 and C-contiguous, which is used where it lies on disk and may be larger than memory.
    b: beside an A in `.npy`, and only there: the `.npy` file with the targets, shape (n,).
    data: breast_cancer, diabetes or digits as scikit-learn ships them (no network). Give this or `file`.
    scale: how `scaled` treats the features.
    positive: the label that becomes +1 while all others become -1; needed when there are more than two.
    classification: turn the targets into labels -1, +1; otherwise they are returned as they are.
    Raises InputError when anything in the file or the arguments is at fault.
    """
    if (file is None) == (data is None):
        given = "neither" if file is None else f"file={file!r} and data={data!r}"
        raise InputError(f"give exactly one of file= and data=, got {given}")
    if positive is not None and not classification:
        raise InputError(f"positive={positive!r} is for classification only; regression takes the targets as they are")
    mapped = file is not None and Path(file).suffix.lower() == ".npy"
    if mapped and b is None:
        raise InputError(f"file {file!r} holds A alone; give the targets as b=FILE.npy too")
    if not mapped and b is not None:
        raise InputError(f"b={b!r} goes with file=A.npy only; other files hold their own targets")
    if mapped and scale != "none":
        raise InputError(f"scale must be none for data read from disk, got {scale!r}; scale the file itself")
    if file is not None:
        A, targets = _read_pair(file, str(b)) if mapped else _read_file(file)
        source, origin = (f"file {b!r}", f"{file} with {b}") if mapped else (f"file {file!r}", file)
    else:
        assert data is not None
        A, targets = _read_bundled(data)
        source, origin = f"data={data}", f"{data} (bundled with scikit-learn)"
    note = ""
    if classification:
        targets, low, high = binary_labels(targets, positive=positive, source=source)
        note = f", labels {low} -> -1 and {high} -> +1"
    if not mapped:
        A = scaled(A, scale)
    where = ", A read from disk" if mapped else ""
    description = f"{origin}: {len(A)} samples, {A.shape[1]} features, scale={scale}{note}{where}"
    return DataSet(A, targets, description, mapped)


def scaled(A: Matrix, scale: Scale) -> Matrix:
    """A copy of A (n, d) with its rows or columns brought to a common size.

    scale: `none` leaves A as it is; `rows` divides each row by its Euclidean norm (a zero row stays zero);
    `columns` centres each column and divides it by its standard deviation (divisor n; a constant column
    becomes zero). Raises InputError for any other word.
    """
    if scale not in get_args(Scale):
        raise InputError(f"scale must be one of {', '.join(get_args(Scale))}, got {scale!r}")
    if scale == "none":
        return A.copy()
    # Dividing by the largest entry first keeps squares and sums in range; both scalings are blind to it.
    axis = 1 if scale == "rows" else 0
    size = np.abs(A).max(axis=axis, keepdims=True)
    result = A / np.where(size > 0, size, 1.0)
    if scale == "rows":
        norms = np.linalg.norm(result, axis=1, keepdims=True)
        return np.ascontiguousarray(result / np.where(norms > 0, norms, 1.0))
    constant = A.max(axis=0) == A.min(axis=0)
    result -= result.mean(axis=0)
    result -= result.mean(axis=0)
    deviation = np.sqrt((result**2).mean(axis=0))
    result[:, constant] = 0.0
    return np.ascontiguousarray(result / np.where(constant, 1.0, deviation))


def binary_labels(b: ArrayLike, *, positive: str | None, source: str) -> tuple[Vector, str, str]:
    """Labels as -1.0 and +1.0, and the words for what became -1 and what became +1.

    The smaller of two labels becomes -1; with `positive`, that label becomes +1 and all others -1.
    source: the words of the messages for where b came from. Raises InputError for a single class, for more
    than two labels without `positive`, and for a `positive` that is not there.
    """
    try:
        labels, codes = np.unique(np.asarray(b), return_inverse=True)
    except TypeError:
        raise InputError(f"the labels of {source} must all be numbers or all be words") from None
    words = [str(label) if isinstance(label, str) else f"{label:.17g}" for label in labels.tolist()]
    if len(words) < 2:
        raise InputError(f"{source} has the one label {words[0]}; classification needs two")
    if positive is None and len(words) > 2:
        raise InputError(f"{source} has the {len(words)} labels {_listed(words)}; choose one with positive=LABEL")
    if positive is None:
        return np.where(codes.reshape(-1) == 1, 1.0, -1.0), words[0], words[1]
    chosen = _find_label(positive, words)
    if chosen is None:
        raise InputError(f"positive={positive!r} is not a label of {source}; its labels are {_listed(words)}")
    others = words[1 - chosen] if len(words) == 2 else "all others"
    return np.where(codes.reshape(-1) == chosen, 1.0, -1.0), others, words[chosen]


def _find_label(positive: str, words: list[str]) -> int | None:
    if positive in words:
        return words.index(positive)
    for place, word in enumerate(words):
        try:
            if float(word) == float(positive):
                return place
        except ValueError:
            return None
    return None


def _listed(words: list[str]) -> str:
    return ", ".join(words) if len(words) <= 12 else f"{', '.join(words[:12])}, ..."


def _read_bundled(data: str) -> tuple[Matrix, Vector]:
    if data not in BUNDLED:
        raise InputError(f"unknown data={data!r}; {nearest(data, BUNDLED)}")
    bunch = getattr(_sklearn_datasets(), f"load_{data}")()
    return np.array(bunch.data, dtype=np.float64, order="C"), np.array(bunch.target, dtype=np.float64)


def _sklearn_datasets() -> Any:
    # Imported late: it takes a second, and most problems need no data.
    return importlib.import_module("sklearn.datasets")


def _opened(file: str) -> tuple[Path, int]:
    """The path and size of a file that can be read and is not empty."""
    path = Path(file)
    try:
        if path.is_dir():
            raise InputError(f"file {file!r} is a directory; give a file that ends in {', '.join(_ENDINGS)}")
        if path.exists() and not path.is_file():
            raise InputError(f"file {file!r} is not a regular file; give a file that ends in {', '.join(_ENDINGS)}")
        with path.open("rb") as stream:
            stream.read(1)
        size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"file {file!r} does not exist") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"file {file!r} cannot be read ({reason}); give a readable file") from None
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"file {file!r} has the unknown ending {path.suffix!r}; known are {', '.join(_ENDINGS)}")
    if size == 0:
        raise InputError(f"file {file!r} is empty; at least one sample is needed")
    return path, size


_HINT = "; A and b may lie in two .npy files instead, file=A.npy,b=b.npy, of which A is read from disk"


def _check_fits(entries: int, *, what: str) -> None:
    try:
        check_memory(entries, what=what)
    except InputError as error:
        raise InputError(f"{error}{_HINT}") from None


def _read_file(file: str) -> tuple[Matrix, Vector]:
    path, size = _opened(file)
    _check_fits(size // 8, what=f"file {file!r}")
    try:
        return _READERS[path.suffix.lower()](path, file)
    except OSError as error:
        raise InputError(f"file {file!r} cannot be read ({error.strerror or error}); give a readable file") from None
    except MemoryError:
        raise InputError(f"file {file!r} does not fit in memory; give a smaller one{_HINT}") from None


def _read_pair(file: str, targets: str) -> tuple[Matrix, Vector]:
    """A, mapped, and b, read."""
    A = _mapped(file, dimensions=2)
    if 0 in A.shape:
        raise InputError(f"file {file!r} must hold a matrix of shape (n, d) with n, d >= 1, got {A.shape}")
    if Path(targets).suffix.lower() != ".npy":
        raise InputError(f"b must be a file that ends in .npy, got {targets!r}")
    b = _mapped(targets, dimensions=1)
    if len(b) != len(A):
        raise InputError(f"file {targets!r} must hold shape ({len(A)},) to match file {file!r}, got {b.shape}")
    check_memory(8 * len(b), what=f"file {targets!r}, with what is computed for each of its {len(b)} rows,")
    b = b.copy()
    if not np.isfinite(b).all():
        raise InputError(f"file {targets!r} holds NaN or infinite entries; only finite numbers are allowed")
    return A, b


def _mapped(file: str, *, dimensions: int) -> NDArray[np.float64]:
    """The array in a `.npy` file, where it lies: a plain writable array over private pages, so that kernels compile for
    it as for any other and nothing that they could write would reach the file."""
    path, size = _opened(file)
    try:
        with path.open("rb") as stream:
            shape, by_columns, dtype = _header(stream)
            offset = stream.tell()
            if dtype != np.dtype(np.float64):
                raise InputError(f"file {file!r} must hold float64 numbers in this machine's byte order, got {dtype}")
            if len(shape) != dimensions or (by_columns and dimensions > 1 and 1 not in shape):
                order = " in Fortran order" if by_columns else ""
                wanted = "a C-contiguous matrix, shape (n, d)" if dimensions == 2 else "a vector, shape (n,)"
                raise InputError(f"file {file!r} must hold {wanted}, got shape {shape}{order}")
            length = offset + 8 * math.prod(shape)
            if size < length:
                raise InputError(f"file {file!r} is cut short: {size} bytes where its shape {shape} takes {length}")
            if 0 in shape:
                return np.empty(shape)
            # NORESERVE: nothing is written, so no memory need be set aside for a file larger than it (numpy.memmap's
            # copy-on-write mode would ask for it, its read-only mode makes arrays for which kernels compile anew).
            flags = mmap.MAP_PRIVATE | _NORESERVE
            pages = mmap.mmap(stream.fileno(), length, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            return np.ndarray(shape, dtype=np.float64, buffer=pages, offset=offset)
    except InputError:
        raise
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError):
        raise InputError(f"file {file!r} is not a .npy file; write it with numpy.save(file, array)") from None
    except OSError as error:
        raise InputError(f"file {file!r} cannot be read ({error.strerror or error}); give a readable file") from None


_NORESERVE = 0x4000 if sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64") else 0
"""MAP_NORESERVE, which the mmap module does not name."""


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    return tuple(shape), bool(by_columns), dtype


def _read_lines(path: Path, file: str) -> list[tuple[int, str]]:
    """The lines that are not blank, numbered from 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"file {file!r} is not text; {path.suffix} files must be UTF-8 text") from None
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _read_csv(path: Path, file: str) -> tuple[Matrix, Vector]:
    lines = _read_lines(path, file)
    if not lines:
        raise InputError(f"file {file!r} is empty; at least one sample is needed")
    columns = lines[0][1].count(",") + 1
    _check_fits(len(lines) * columns, what=f"file {file!r} with {len(lines)} rows and {columns} columns")
    table = np.empty((len(lines), columns))
    for k, (number, line) in enumerate(lines):
        fields = line.split(",")
        if len(fields) != columns:
            raise InputError(
                f"file {file!r} has {len(fields)} values in line {number} but {columns} in line {lines[0][0]}; "
                "every line must have as many"
            )
        try:
            table[k] = [float(field) for field in fields]
        except ValueError:
            text = next(field.strip() for field in fields if not _is_number(field))
            allowed = "a CSV file must have no header and hold only numbers separated by commas"
            raise InputError(f"file {file!r} has the text {_clipped(text)} in line {number}; {allowed}") from None
        if not np.isfinite(table[k]).all():
            bad = next(field.strip() for field in fields if not math.isfinite(float(field)))
            raise InputError(f"file {file!r} has {bad!r} in line {number}; only finite numbers are allowed")
    if columns < 2:
        raise InputError(
            f"file {file!r} has one column; a CSV file must have at least one feature column and the target as the last"
        )
    return np.ascontiguousarray(table[:, :-1]), np.ascontiguousarray(table[:, -1])


def _read_libsvm(path: Path, file: str) -> tuple[Matrix, Vector]:
    try:
        A, b = _sklearn_datasets().load_svmlight_file(str(path), dtype=np.float64, zero_based=False)
    except (ValueError, OverflowError) as error:
        _blame_libsvm(path, file)
        raise InputError(f"file {file!r} is not in LIBSVM form ({error}); {_LIBSVM_FORM}") from None
    if len(b) == 0:
        raise InputError(f"file {file!r} is empty; at least one sample is needed")
    if A.nnz == 0:
        raise InputError(f"file {file!r} has no features; {_LIBSVM_FORM}")
    if not (np.isfinite(A.data).all() and np.isfinite(b).all()):
        _blame_libsvm(path, file)
    n, d = A.shape
    _check_fits(n * d, what=f"file {file!r} with {n} rows and {d} columns")
    return np.array(A.toarray(), dtype=np.float64, order="C"), np.array(b, dtype=np.float64)


_LIBSVM_FORM = "each line of a LIBSVM file must read LABEL INDEX:VALUE ... INDEX:VALUE"


def _blame_libsvm(path: Path, file: str) -> None:
    """Raise InputError for the first line at fault; return if none is found."""
    for number, line in _read_lines(path, file):
        where = f"in line {number}"
        label, *features = line.partition("#")[0].split() or ["0"]
        if not _is_number(label):
            raise InputError(f"file {file!r} has the text {_clipped(label)} for a label {where}; {_LIBSVM_FORM}")
        if not math.isfinite(float(label)):
            raise InputError(f"file {file!r} has the label {label!r} {where}; only finite numbers are allowed")
        last = 0
        for feature in features[1:] if features and features[0].startswith("qid:") else features:
            head, colon, entry = feature.partition(":")
            if not (colon and _is_number(entry) and head.lstrip("+-").isdecimal()):
                raise InputError(f"file {file!r} has the text {_clipped(feature)} {where}; {_LIBSVM_FORM}")
            index = int(head) if len(head) < 20 else _LARGEST_INDEX + 1
            if index < 1:
                raise InputError(f"file {file!r} has the index {index} {where}; LIBSVM indices start at 1")
            if index > _LARGEST_INDEX:
                limit = f"at most {_LARGEST_INDEX} is allowed"
                raise InputError(f"file {file!r} has the index {_clipped(head)} {where}; {limit}")
            if index <= last:
                raise InputError(
                    f"file {file!r} has the index {index} after {last} {where}; "
                    "LIBSVM indices must increase along a line"
                )
            if not math.isfinite(float(entry)):
                raise InputError(f"file {file!r} has the value {entry!r} {where}; only finite numbers are allowed")
            last = index


def _read_npz(path: Path, file: str) -> tuple[Matrix, Vector]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"file {file!r} is not a zip archive; write it with numpy.savez(file, A=..., b=...)")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ("A", "b") if name not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "none"
                raise InputError(f"file {file!r} lacks the array {missing[0]!r}; it must hold A and b, found {found}")
            for member in archive.zip.infolist():
                if member.filename in ("A.npy", "b.npy"):
                    _check_fits(member.file_size // 8, what=f"array {member.filename[0]!r} of file {file!r}")
            A, b = archive["A"], archive["b"]
    except InputError:
        raise
    except ValueError as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise InputError(f"file {file!r} holds pickled objects; A and b must be plain arrays of numbers") from None
        raise InputError(f"file {file!r} is damaged; write it with numpy.savez(file, A=..., b=...)") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError):
        raise InputError(f"file {file!r} is damaged; write it with numpy.savez(file, A=..., b=...)") from None
    for name, array in (("A", A), ("b", b)):
        if not (isinstance(array, np.ndarray) and array.dtype.kind in "biuf"):
            kind = getattr(array, "dtype", "raw bytes")
            raise InputError(f"array {name!r} of file {file!r} must hold real numbers, got {kind}")
    if A.ndim != 2 or 0 in A.shape:
        raise InputError(f"array 'A' of file {file!r} must have shape (n, d) with n, d >= 1, got {A.shape}")
    if b.shape != (len(A),):
        raise InputError(f"array 'b' of file {file!r} must have shape ({len(A)},) to match A, got {b.shape}")
    _check_fits(A.size, what=f"file {file!r} with {A.shape[0]} rows and {A.shape[1]} columns")
    with np.errstate(over="ignore"):
        features, targets = np.array(A, dtype=np.float64, order="C"), np.array(b, dtype=np.float64)
    for name, entries in (("A", features), ("b", targets)):
        if not np.isfinite(entries).all():
            raise InputError(
                f"array {name!r} of file {file!r} holds NaN or infinite entries; only finite numbers are allowed"
            )
    return features, targets


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _clipped(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


_READERS: dict[str, Callable[[Path, str], tuple[Matrix, Vector]]] = {
    ".svm": _read_libsvm,
    ".libsvm": _read_libsvm,
    ".txt": _read_libsvm,
    ".csv": _read_csv,
    ".npz": _read_npz,
}

_ENDINGS = (*_READERS, ".npy")
