"""Every fault of a data file or of its arguments ends in one sentence that names it; sound files are read exactly."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from problems import data as data_module
from problems.data import DataSet, load, scaled
from problems.errors import InputError
from problems.problem import problems


def read(file: str | None = None, **changes: Any) -> DataSet:
    arguments: dict[str, Any] = {"file": file, "data": None, "scale": "none", "positive": None, "classification": False}
    return load(**(arguments | changes))


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def refused(*parts: str, **arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(**arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert not text.endswith(".")
    for part in parts:
        assert part in text, text
    return text


TEXT_FAULTS: dict[str, tuple[str, str | bytes, list[str]]] = {
    "empty csv": ("a.csv", "", ["is empty"]),
    "blank csv": ("a.csv", "\n \n", ["is empty"]),
    "ragged csv": ("a.csv", "1,2,3\n\n4,5\n", ["2 values in line 3", "3 in line 1"]),
    "csv header": ("a.csv", "age,target\n1,2\n", ["'age'", "line 1", "no header"]),
    "csv text": ("a.csv", "1,2\n3,four\n", ["'four'", "line 2"]),
    "csv missing value": ("a.csv", "1,2\n3,\n", ["''", "line 2"]),
    "csv one column": ("a.csv", "1\n2\n", ["one column"]),
    "csv semicolons": ("a.csv", "1;2\n3;4\n", ["'1;2'", "commas"]),
    "csv nan": ("a.csv", "1,2\nnan,4\n", ["'nan'", "line 2", "finite"]),
    "csv inf": ("a.csv", "1,2\n3,-inf\n", ["'-inf'", "line 2", "finite"]),
    "csv overflow": ("a.csv", "1,2\n3,1e999\n", ["'1e999'", "line 2", "finite"]),
    "csv not text": ("a.csv", b"1,\xff\xfe\n", ["not text"]),
    "empty libsvm": ("a.svm", "", ["is empty"]),
    "comment only": ("a.svm", "# nothing\n\n", ["is empty"]),
    "no features": ("a.svm", "1\n-1\n", ["no features"]),
    "index zero": ("a.svm", "1 1:2\n-1 0:2 1:1\n", ["index 0", "line 2", "start at 1"]),
    "negative index": ("a.libsvm", "1 -3:2\n", ["index -3", "line 1", "start at 1"]),
    "unsorted": ("a.txt", "1 1:1 2:1\n# note\n-1 2:1 1:1\n", ["index 1 after 2", "line 3", "increase"]),
    "repeated": ("a.svm", "1 2:1 2:1\n", ["index 2 after 2", "line 1", "increase"]),
    "libsvm nan": ("a.svm", "1 1:1\n-1 1:nan\n", ["'nan'", "line 2", "finite"]),
    "libsvm inf": ("a.svm", "1 1:1\n-1 1:inf\n", ["'inf'", "line 2", "finite"]),
    "libsvm nan label": ("a.svm", "nan 1:1\n", ["label 'nan'", "line 1", "finite"]),
    "libsvm text label": ("a.svm", "1 1:1\nspam 1:1\n", ["'spam'", "line 2"]),
    "libsvm text value": ("a.svm", "1 1:one\n", ["'1:one'", "line 1"]),
    "libsvm no colon": ("a.svm", "1 5\n", ["'5'", "line 1"]),
    "libsvm is csv": ("a.txt", "1,2,3\n", ["'1,2,3'", "line 1"]),
    "libsvm not text": ("a.svm", b"\xff\xfe 1:1\n", ["not text"]),
    "index beyond integers": ("a.svm", "1 1:1 3000000000:1\n", ["3000000000", "line 1", "at most"]),
    "index beyond long": ("a.svm", "1 1:1 99999999999999999999999:1\n", ["line 1", "at most"]),
    "empty npz": ("a.npz", "", ["is empty"]),
    "corrupt npz": ("a.npz", "this is no archive", ["not a zip archive"]),
    "unknown ending": ("a.xlsx", "1,2\n", ["'.xlsx'", ".csv"]),
    "no ending": ("data", "1,2\n", ["''", ".csv"]),
}


@pytest.mark.parametrize("case", TEXT_FAULTS)
def test_faulty_file(case: str, tmp_path: Path) -> None:
    name, content, parts = TEXT_FAULTS[case]
    file = written(tmp_path, name, content)
    refused(f"file {file!r}", *parts, file=file)


def test_missing_file(tmp_path: Path) -> None:
    file = str(tmp_path / "absent.csv")
    refused(f"file {file!r}", "does not exist", file=file)


def test_directory(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    refused(f"file {str(folder)!r}", "is a directory", file=str(folder))


def test_pipe_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    refused(f"file {str(pipe)!r}", "regular file", file=str(pipe))


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "a.csv", "1,2\n")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", file)

    monkeypatch.setattr(Path, "open", deny)  # the superuser may read everything, so no file mode can stand for this
    refused(f"file {file!r}", "Permission denied", file=file)


def test_null_character_in_the_name() -> None:
    refused("file", "cannot be read", file="a\0b.csv")


def test_huge_index_is_refused_before_it_becomes_dense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "a.svm", "1 1:1 999999999:1\n" * 20)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**22}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    refused(f"file {file!r}", "20 rows and 999999999 columns", "GiB", file=file)


def save(folder: Path, **arrays: Any) -> str:
    file = str(folder / "a.npz")
    np.savez(file, **arrays)
    return file


GOOD_A, GOOD_B = np.arange(6.0).reshape(3, 2), np.arange(3.0)
ARRAY_FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "lacks A": ({"X": GOOD_A, "b": GOOD_B}, ["lacks the array 'A'", "X"]),
    "lacks b": ({"A": GOOD_A}, ["lacks the array 'b'"]),
    "A one-dimensional": ({"A": GOOD_B, "b": GOOD_B}, ["array 'A'", "(n, d)", "(3,)"]),
    "A without columns": ({"A": np.zeros((3, 0)), "b": GOOD_B}, ["array 'A'", "(3, 0)"]),
    "b too short": ({"A": GOOD_A, "b": GOOD_B[:2]}, ["array 'b'", "(3,)", "(2,)"]),
    "b a column": ({"A": GOOD_A, "b": GOOD_B[:, None]}, ["array 'b'", "(3, 1)"]),
    "A of words": ({"A": np.full((3, 2), "one"), "b": GOOD_B}, ["array 'A'", "real numbers"]),
    "b complex": ({"A": GOOD_A, "b": GOOD_B * 1j}, ["array 'b'", "real numbers"]),
    "A nan": ({"A": GOOD_A * math.nan, "b": GOOD_B}, ["array 'A'", "NaN"]),
    "b inf": ({"A": GOOD_A, "b": GOOD_B + math.inf}, ["array 'b'", "infinite"]),
    "beyond double": ({"A": GOOD_A, "b": np.full(3, np.finfo(np.longdouble).max)}, ["array 'b'", "infinite"]),
    "pickled": ({"A": np.array([[{}, 1]], dtype=object), "b": np.zeros(1)}, ["pickled"]),
}


@pytest.mark.parametrize("case", ARRAY_FAULTS)
def test_faulty_npz(case: str, tmp_path: Path) -> None:
    arrays, parts = ARRAY_FAULTS[case]
    file = save(tmp_path, **arrays)
    refused(f"file {file!r}", *parts, file=file)


def test_damaged_npz(tmp_path: Path) -> None:
    file = save(tmp_path, A=GOOD_A, b=GOOD_B)
    content = bytearray(Path(file).read_bytes())
    content[150:170] = b"\xff" * 20
    refused(f"file {file!r}", "damaged", file=written(tmp_path, "a.npz", bytes(content)))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("A.npy", b"nothing")
        archive.writestr("b.npy", b"")
    refused(f"file {file!r}", file=file)


def test_a_lying_archive_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(tmp_path / "a.npz")
    np.savez_compressed(file, A=np.zeros((1000, 1000)), b=np.zeros(1000))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2000}.__getitem__)
    refused(f"file {file!r}", "array 'A'", "GiB", file=file)


def test_one_class(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "1,1\n2,1\n")
    refused(f"file {file!r}", "one label 1", file=file, classification=True)


def test_more_than_two_labels() -> None:
    refused("data=digits", "10 labels", "0, 1, 2", "positive=LABEL", data="digits", classification=True)
    assert len(refused("data=diabetes", "labels", data="diabetes", classification=True)) < 300


def test_positive_that_is_not_there(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "1,1\n2,2\n3,2.5\n")
    refused("positive='7'", "1, 2, 2.5", file=file, classification=True, positive="7")
    refused("positive='spam'", "1, 2, 2.5", file=file, classification=True, positive="spam")


def test_positive_for_regression() -> None:
    refused("positive='1'", "classification", data="diabetes", positive="1")


def test_unknown_data_names_the_nearest() -> None:
    refused("data='diabets'", "'diabetes'", data="diabets")


def test_neither_and_both() -> None:
    refused("exactly one of file= and data=", "neither")
    refused("exactly one of file= and data=", "'a.csv'", "'digits'", file="a.csv", data="digits")


def test_unknown_scale() -> None:
    refused("scale", "none, rows, columns", "'cells'", data="diabetes", scale="cells")


def test_the_specs_refuse_in_the_same_words(tmp_path: Path) -> None:
    for spec, part in {
        "ridge:data=diabetes,reg=-1": "reg must be a finite number >= 0, got -1.0",
        "logistic:data=breast_cancer,reg=-0.5": "reg must be a finite number >= 0, got -0.5",
        "ridge:data=diabetes": "lacks the key 'reg'",
        "least-squares:data=diabetes,scale=cells": "one of none, rows, columns",
        "least-squares:data=diabetes,positive=1": "unknown key 'positive'",
        "logistic:data=digits": "positive=LABEL",
        "least-squares:scale=none": "exactly one of file= and data=",
        "logistic:data=brest_cancer": "'breast_cancer'",
    }.items():
        with pytest.raises(InputError) as caught:
            problems.build(spec)
        assert part in str(caught.value)
    zero = written(tmp_path, "zero.csv", "0,1\n0,2\n")
    huge = written(tmp_path, "huge.csv", "1e300,1\n1,2\n")
    for word in ("least-squares", "logistic"):
        for file, part in ((zero, "zero or too small"), (huge, "too large")):
            with pytest.raises(InputError, match=part):
                problems.build(f"{word}:file={file}")


def test_the_three_forms_agree(tmp_path: Path) -> None:
    A, b = np.array([[1.5, 0.0, -2.0], [0.0, 0.0, 1e-3]]), np.array([3.0, -4.0])
    svm = "3 1:1.5 3:-2 # note\n\n-4 qid:1 3:1e-3\n"
    files = [written(tmp_path, name, svm) for name in ("a.svm", "a.libsvm", "a.TXT")]
    files.append(written(tmp_path, "a.csv", "\ufeff1.5, 0,-2,3\r\n\r\n0,0,1e-3,-4\r\n"))
    files.append(save(tmp_path, A=np.asfortranarray(A), b=b))
    for file in files:
        found = read(file)
        np.testing.assert_array_equal(found.A, A)
        np.testing.assert_array_equal(found.b, b)
        assert found.A.dtype == found.b.dtype == np.float64
        assert found.A.flags.c_contiguous
        assert found.A.flags.writeable
        assert found.b.flags.writeable
        assert file in found.description
        assert "scale=none" in found.description
    integers = save(tmp_path, A=A.astype(np.int8), b=np.array([True, False]))
    np.testing.assert_array_equal(read(integers).A, A.astype(np.int8))


BUNDLED = {"breast_cancer": (569, 30), "diabetes": (442, 10), "digits": (1797, 64)}


@pytest.mark.parametrize(("name", "shape"), BUNDLED.items())
def test_bundled(name: str, shape: tuple[int, int]) -> None:
    found = read(data=name)
    assert found.A.shape == shape
    assert found.b.shape == shape[:1]
    assert name in found.description


def test_labels(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "1,2\n2,5\n3,2\n")
    np.testing.assert_array_equal(read(file, classification=True).b, [-1, 1, -1])
    np.testing.assert_array_equal(read(file, classification=True, positive="2").b, [1, -1, 1])
    np.testing.assert_array_equal(read(file, classification=True, positive="5.0").b, [-1, 1, -1])
    three = read(data="digits", classification=True, positive="3")
    np.testing.assert_array_equal(three.b, np.where(read(data="digits").b == 3, 1, -1))
    assert "3 -> +1" in three.description


def test_scales() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((7, 4)) * [1.0, 1e-200, 1e200, 3.0] + [0, 0, 0, 5]
    A[:, 3] = 0.1
    A[2] = 0.0
    A[:, 3] = 0.1
    columns = scaled(A, "columns")
    np.testing.assert_array_equal(columns[:, 3], 0)
    np.testing.assert_allclose(columns[:, :3].mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(columns[:, :3].std(axis=0), 1, rtol=1e-14)
    B = rng.standard_normal((5, 3)) * np.array([[1.0], [1e200], [1e-200], [0.0], [2.0]])
    rows = scaled(B, "rows")
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0, 1], rtol=1e-14)
    np.testing.assert_array_equal(np.sign(rows), np.sign(B))
    same = scaled(B, "none")
    np.testing.assert_array_equal(same, B)
    assert same is not B


def test_known_endings_are_the_documented_ones() -> None:
    assert set(data_module._ENDINGS) == {".svm", ".libsvm", ".txt", ".csv", ".npz", ".npy"}


# -- features that stay on disk --


def stored(folder: Path, A: Any, b: Any) -> dict[str, str]:
    """A and b in two files, as arguments."""
    files = {"file": str(folder / "A.npy"), "b": str(folder / "b.npy")}
    np.save(files["file"], A)
    np.save(files["b"], b)
    return files


PAIR_FAULTS: dict[str, tuple[Any, Any, list[str]]] = {
    "A float32": (GOOD_A.astype(np.float32), GOOD_B, ["A.npy", "float64", "float32"]),
    "A big-endian": (GOOD_A.astype(">f8"), GOOD_B, ["A.npy", "byte order", ">f8"]),
    "A of objects": (np.array([[{}, 1]], dtype=object), np.zeros(1), ["A.npy", "float64", "object"]),
    "A in Fortran order": (np.asfortranarray(GOOD_A), GOOD_B, ["A.npy", "C-contiguous", "(3, 2)", "Fortran"]),
    "A a vector": (GOOD_B, GOOD_B, ["A.npy", "(n, d)", "(3,)"]),
    "A without columns": (np.zeros((3, 0)), GOOD_B, ["A.npy", "n, d >= 1", "(3, 0)"]),
    "b too short": (GOOD_A, GOOD_B[:2], ["b.npy", "(3,)", "(2,)"]),
    "b a column": (GOOD_A, GOOD_B[:, None], ["b.npy", "(n,)", "(3, 1)"]),
    "b nan": (GOOD_A, GOOD_B * math.nan, ["b.npy", "NaN"]),
}


@pytest.mark.parametrize("case", PAIR_FAULTS)
def test_faulty_pair(case: str, tmp_path: Path) -> None:
    A, b, parts = PAIR_FAULTS[case]
    refused(*parts, **stored(tmp_path, A, b))


def test_pairs_that_are_no_pairs(tmp_path: Path) -> None:
    files = stored(tmp_path, GOOD_A, GOOD_B)
    A, b = files["file"], files["b"]
    refused(f"file {A!r}", "A alone", "b=FILE.npy", file=A)
    refused(f"b={b!r}", "file=A.npy only", data="diabetes", b=b)
    refused(f"b={b!r}", "file=A.npy only", file=save(tmp_path, A=GOOD_A, b=GOOD_B), b=b)
    refused("scale must be none", "'rows'", "scale the file itself", scale="rows", **files)
    refused("b must be a file that ends in .npy", "'b.csv'", file=A, b="b.csv")
    refused(f"file {str(tmp_path / 'c.npy')!r}", "does not exist", file=A, b=str(tmp_path / "c.npy"))
    whole = Path(A).read_bytes()
    refused(f"file {A!r}", "cut short", "(3, 2)", file=written(tmp_path, "A.npy", whole[:-8]), b=b)
    for content in (b"nothing at all", whole[:20], b"\x93NUMPY\x01\x00\x05\x00{'a':", whole[:60] + b"\x00" * 40):
        refused(f"file {A!r}", "not a .npy file", file=written(tmp_path, "A.npy", content), b=b)
    negative = whole.replace(b"(3, 2), }", b"(-3, 2),}")
    assert len(negative) == len(whole)
    refused(f"file {A!r}", "not a .npy file", file=written(tmp_path, "A.npy", negative), b=b)
    huge = whole.replace(b"(3, 2), }        ", b"(9999999999, 2),}")
    assert len(huge) == len(whole)
    refused(f"file {A!r}", "cut short", "9999999999", file=written(tmp_path, "A.npy", huge), b=b)


def test_a_pair_is_mapped(tmp_path: Path) -> None:
    files = stored(tmp_path, GOOD_A, GOOD_B)
    before = Path(files["file"]).read_bytes()
    found = read(**files)
    assert found.mapped
    assert type(found.A) is np.ndarray
    assert found.A.flags.c_contiguous
    assert found.A.flags.aligned
    assert found.A.flags.writeable  # a read-only array would compile every kernel again
    assert "read from disk" in found.description
    np.testing.assert_array_equal(found.A, GOOD_A)
    np.testing.assert_array_equal(found.b, GOOD_B)
    found.A[:] = 7.0
    assert Path(files["file"]).read_bytes() == before
    labels = read(classification=True, positive="2", **files)
    np.testing.assert_array_equal(labels.b, [-1, -1, 1])


def test_what_does_not_fit_points_to_npy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(tmp_path / "a.npz")
    np.savez_compressed(file, A=np.zeros((1000, 1000)), b=np.zeros(1000))
    table = written(tmp_path, "a.csv", "1,2\n" * 5000)
    files = stored(tmp_path, np.random.default_rng(0).standard_normal((30_000, 2)), np.zeros(30_000))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__)
    refused(f"file {file!r}", "GiB", "file=A.npy,b=b.npy", file=file)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 16, "SC_PHYS_PAGES": 1000}.__getitem__)
    refused(f"file {table!r}", "GiB", "file=A.npy,b=b.npy", file=table)
    refused("b.npy", "30000 rows", "GiB", **files)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2000}.__getitem__)
    assert read(**files).mapped
    wide = stored(tmp_path, np.ones((2, 1000)), np.zeros(2))
    with pytest.raises(InputError, match="1000 columns"):
        problems.build(f"ridge:file={wide['file']},b={wide['b']},reg=1")


def test_faults_that_show_when_rows_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    A = rng.standard_normal((60, 3))
    cases: list[tuple[str, tuple[int, int], float, list[str]]] = [
        ("ridge:reg=1,", (41, 2), math.nan, ["row 41", "NaN or infinite"]),
        ("logistic:reg=1,", (3, 0), -math.inf, ["row 3", "NaN or infinite"]),
        ("least-squares:", (7, 1), 1e200, ["row 7", "too large to square"]),
    ]
    for word, place, entry, parts in cases:
        faulty = A.copy()
        faulty[place] = entry
        files = stored(tmp_path, faulty, np.sign(A[:, 0]))
        with pytest.raises(InputError) as caught:
            problems.build(f"{word}file={files['file']},b={files['b']}")
        for part in parts:
            assert part in str(caught.value)
            assert "\n" not in str(caught.value)
    twice = stored(tmp_path, np.column_stack([A, A[:, 0] + A[:, 1]]), A[:, 0])
    sources = f"file={twice['file']},b={twice['b']}"
    with pytest.raises(InputError, match=r"cannot be told from 0 .* give reg > 0"):
        problems.build(f"least-squares:{sources}")
    assert problems.build(f"ridge:{sources},reg=0.1").mu.value == pytest.approx(0.1, rel=1e-9)
    files = stored(tmp_path, A, np.sign(A[:, 0]))
    with pytest.raises(InputError, match=r"reg must be positive .* got 0.0"):
        problems.build(f"logistic:file={files['file']},b={files['b']}")
    zero = stored(tmp_path, 0 * A, A[:, 0])
    with pytest.raises(InputError, match="zero or too small"):
        problems.build(f"least-squares:file={zero['file']},b={zero['b']}")
