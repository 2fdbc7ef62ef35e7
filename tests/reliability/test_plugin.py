"""A plugin adds to the catalogue or is refused in one sentence; a plugin that fails leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments.engine.run import simulate
from experiments.verify.verdict import Verdict
from experiments.verify.verify import verify
from problems import kernel
from problems.errors import InputError
from problems.problem import problems
from ravine.plugin import _Catalogue, load_plugin
from theory.claim import claims
from theory.methods.method import methods
from theory.samplings import samplings
from theory.schedules import schedules
from theory.setting import make_setting

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "plugin_example.py"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What a test loads is gone after it: other tests look at the whole catalogue."""
    before = _Catalogue()
    yield
    before.restore()


def state() -> tuple[object, ...]:
    """All that a plugin can change, and the modules of plugins."""
    return (
        dict(claims._claims),
        *(dict(catalogue._builders) for catalogue in (problems, methods, samplings, schedules)),
        {name: dict(operation.implementations) for name, operation in kernel.Kernel.registry.items()},
        list(kernel.helpers),
        sorted(name for name in sys.modules if name.startswith("ravine_plugin")),
        list(sys.path),
    )


# -- the example --


def test_the_example_is_judged_as_its_page_says() -> None:
    assert load_plugin(str(EXAMPLE)) == EXAMPLE
    found = {result.claim.id: result for result in verify([claim for claim in claims if claim.startswith("example/")])}
    verdicts = {name: result.verdict for name, result in found.items()}
    assert verdicts == {
        "example/linear": Verdict.VIOLATED,
        "example/corrected": Verdict.CONSISTENT,
        "example/softened": Verdict.CONSISTENT,
    }
    assert all(control.refuted for result in found.values() for control in result.controls)
    rows = found["example/linear"].evidence
    failing = [row for row in rows if row.verdict is Verdict.VIOLATED]
    assert any(row.instance.startswith("quadratic") for row in failing)
    assert any(row.instance.startswith("example-log-cosh") for row in failing)
    assert len(failing) < len(rows), "short runs see nothing"
    for row in failing:
        wrong = row.measured_curve > row.bound_curve
        assert row.abscissa[wrong].min() > 20, "it holds for a while"
        assert wrong[wrong.argmax() :].all(), "and never again"
    page = (EXAMPLE.parent / "plugins.md").read_text()
    assert dict(re.findall(r"^(example/\w+) +(violated|consistent) +\d of \d$", page, re.M)) == {
        name: verdict.value for name, verdict in verdicts.items()
    }
    assert failing[0].replay in page
    table = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.M)
    assert len(table) == 6
    for t, measured, bound in table:
        (k,) = np.flatnonzero(failing[0].abscissa == int(t))
        # The page gives three digits.
        assert failing[0].measured_curve[k] == pytest.approx(float(measured), rel=5e-3)
        assert failing[0].bound_curve[k] == pytest.approx(float(bound), rel=5e-3)


def test_the_examples_problem_honours_the_contract() -> None:
    load_plugin(EXAMPLE)
    problem = problems.build("example-log-cosh:height=2,reg=0.5")
    assert problems.build(problem.name).name == problem.name
    points = np.linspace(-40.0, 40.0, 1601)[:, None]
    slope = np.array([problem.gradient(x)[0] for x in points])
    gaps = np.array([problem.gap(x) for x in points])
    # Differences over h = 1e-5 of numbers up to 500: errors of h^2/6 and 500 eps/h, both below 1e-7.
    ahead, behind = (np.array([problem.value(x + h) for x in points]) for h in (1e-5, -1e-5))
    np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-7, atol=1e-7)
    assert np.abs(np.diff(slope) / np.diff(points[:, 0])).max() <= problem.L.value
    assert (slope**2 >= 2 * problem.mu.value * gaps).all()
    assert problem.gap([1e-9]) == pytest.approx(2.5 * 1e-18 / 2, rel=1e-12)
    with pytest.raises(InputError, match="reg must be a positive finite number"):
        problems.build("example-log-cosh:reg=0")


def test_rho_0_is_gradient_descent_in_the_examples_method() -> None:
    load_plugin(EXAMPLE)
    problem = problems.build("quadratic:d=3,mu=0.5,L=1")
    ends = [
        simulate(make_setting(problem, method=methods.build(name), gamma=0.5, rho=0.0), steps=20, tier="textbook").x
        for name in ("example-softened-sam", "sgd")
    ]
    assert (ends[0] == ends[1]).all()


def test_twice_is_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_plugin(EXAMPLE)
    after = state()
    (tmp_path / "link.py").symlink_to(EXAMPLE)
    monkeypatch.chdir(ROOT)
    for again in (str(EXAMPLE), "docs/../docs/plugin_example.py", tmp_path / "link.py"):
        assert load_plugin(again) == first
    assert state() == after


def test_no_machine_code_of_a_plugin_in_the_shared_cache(tmp_path: Path) -> None:
    run = (
        "from experiments.engine.run import simulate; from problems.problem import problems; "
        "from theory.methods.method import methods; from theory.setting import make_setting\n"
        "def gap(problem, method):\n"
        "    setting = make_setting(problems.build(problem), method=methods.build(method), gamma=0.5, rho=0.1)\n"
        "    return float(simulate(setting, steps=50).gap[0, -1])\n"
    )
    quadratic = "'quadratic:d=3,mu=0.5,L=1'"
    with_plugin = (
        f"{run}from ravine.plugin import load_plugin; load_plugin({str(EXAMPLE)!r})\n"
        f"print(gap('example-log-cosh', 'sam'), gap({quadratic}, 'example-softened-sam'), gap({quadratic}, 'sam'))"
    )
    environment = {"RAVINE_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}

    def printed(code: str) -> list[str]:
        words = [sys.executable, "-W", "error", "-c", code]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.split()

    first = printed(with_plugin)
    stored = sorted(tmp_path.rglob("*.nb[ci]"))
    assert len(stored) == 2, "the index and the one pair of built-in classes"
    assert not any(b"ravine_plugin" in file.read_bytes() for file in stored)
    assert printed(f"{run}print(gap({quadratic}, 'sam'))") == first[2:]
    assert printed(with_plugin) == first
    assert sorted(tmp_path.rglob("*.nb[ci]")) == stored


# -- what is refused --

HEAD = """
from dataclasses import replace
from typing import NamedTuple
from problems import kernel
from problems.kernel import Kernel, gap, gradient, helper, keep
from problems.problem import problems
from theory.claim import claims
from theory.methods.method import Method, methods
from theory.methods.sgd import SGD, sgd
from theory.samplings import samplings
from theory.schedules import constant, schedules
mine = replace(claims["sgd/pl"], id="mine/mine")
"""
"""Twelve lines with the empty first one."""

PARTIAL = """
claims.add(mine)
methods.register("mine")(lambda: sgd())
problems.register("mine")(lambda: None)
class Mine(NamedTuple):
    x: float
@gap.of(Mine)
def _gap(problem, x): return 0.0
@helper
def f(x): return x
operation = Kernel("mine")
"""

FAULTS = [
    ("x = (", "cannot be parsed in line 1: .*never closed"),
    ("if True:\nx = 1", "cannot be parsed in line 2: expected an indented block"),
    ("x = '\0'", "cannot be parsed"),
    ("# coding: nonsense\n", "cannot be parsed.*nonsense"),
    ("x = b'\\xff'\ny = 1", "registers nothing"),
    ("", "registers nothing"),
    (f"{HEAD}@helper\ndef f(x): return x", "registers nothing"),
    (f"{HEAD}methods.register('sgd')(sgd)", "registers nothing"),
    ("x = 1\ny = 1 / 0", "fails in line 2 with ZeroDivisionError: division by zero$"),
    ("def f():\n    raise KeyError\n\nf()", "fails in line 2 with KeyError$"),
    ("raise ValueError('two\\n  lines')", "fails in line 1 with ValueError: two lines$"),
    ("def f(): f()\nf()", "fails in line 1 with RecursionError"),
    ("import beside", "fails in line 1 with ModuleNotFoundError: No module named 'beside'"),
    ("import json\njson.loads('{')", "fails in line 2 with JSONDecodeError"),
    ("exec('(')", "fails in line 1 with SyntaxError"),
    (f"{HEAD}problems.build('ridge')", "fails in line 13 with InputError: problem 'ridge' lacks the key"),
    ("\nraise SystemExit(3)", "calls for exit in line 2; a plugin must only register things$"),
    ("import sys\nsys.exit()", "calls for exit in line 2"),
    (f"{HEAD}claims.add(claims['sgd/pl'])", "fails in line 13 with ValueError: two claims are called 'sgd/pl'; choose"),
    (f"{HEAD}claims.add(mine)\nclaims.add(mine)", "in line 14 with ValueError: two claims are called 'mine/mine'"),
    (f"{HEAD}claims.add(replace(mine, controls=()))", "claim 'mine/mine' has no control"),
    (f"{HEAD}@problems.register('ridge')\ndef f(): pass", "two builders are called problem 'ridge'; choose another"),
    (f"{HEAD}@methods.register('sam')\ndef f(): pass", "two builders are called method 'sam'; choose another name$"),
    (f"{HEAD}@samplings.register('full')\ndef f(): pass", "two builders are called sampling 'full'"),
    (f"{HEAD}@schedules.register('constant')\ndef f(): pass", "two builders are called schedule 'constant'"),
    (f"{HEAD}claims._claims['sgd/pl'] = mine", "replaces the claim 'sgd/pl'; choose another name$"),
    (
        f"{HEAD}claims.add(mine)\n@kernel.step.of(SGD)\ndef f(*a): pass",
        "gives SGD a step kernel; give kernels to its own",
    ),
    (
        f"{HEAD}from problems.pl import SineSum\nclaims.add(mine)\n@keep.of(SineSum)\ndef f(problem, x): pass",
        "gives SineSum a keep kernel",
    ),
    (f"{HEAD}claims.add(mine)\nKernel('gap')", "replaces the kernel 'gap'"),
    (f"{HEAD}{PARTIAL}raise OSError('late')", "fails in line 24 with OSError: late"),
    (f"{HEAD}{PARTIAL}raise SystemExit", "calls for exit in line 24"),
]


@pytest.mark.parametrize(("text", "pattern"), FAULTS, ids=[pattern[:50] for _, pattern in FAULTS])
def test_one_sentence_and_nothing_left(text: str, pattern: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    plugin = tmp_path / "plugin.py"
    plugin.write_text(text)
    before = state()
    with pytest.raises(InputError, match=pattern) as found:
        load_plugin(str(plugin))
    message = str(found.value)
    assert message.startswith(f"plugin {str(plugin)!r} ")
    assert "\n" not in message
    assert state() == before
    # Mended, the same file loads: a failure is not remembered.
    plugin.write_text(f"{HEAD}{PARTIAL}")
    load_plugin(plugin)
    assert claims["mine/mine"].title
    assert state() != before


def test_names_that_are_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "plugin.txt").write_text("x = 1")
    for path, pattern in (
        (tmp_path / "none.py", "does not exist; name a .py file"),
        (tmp_path, "is a folder; name a .py file"),
        (tmp_path / "plugin.txt", "is not a .py file"),
        (tmp_path / ("x" * 300), "does not exist"),
        ("", "does not exist"),
        ("nul\0.py", "does not exist"),
    ):
        with pytest.raises(InputError, match=pattern) as found:
            load_plugin(path)
        assert "\n" not in str(found.value)


def test_an_interruption_passes_and_leaves_nothing(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"{HEAD}{PARTIAL}raise KeyboardInterrupt")
    before = state()
    with pytest.raises(KeyboardInterrupt):
        load_plugin(plugin)
    assert state() == before


# -- what is loaded --


def test_a_plugin_is_a_module_of_its_own(tmp_path: Path) -> None:
    text = f"""{HEAD}
from dataclasses import dataclass
class Point(NamedTuple):
    x: float
@dataclass
class Other:
    x: "Point"
assert 1 / 2, __name__
where = claims.add(replace(mine, id="mine/" + __name__.removeprefix("ravine_plugin_").replace("_", "-")))
"""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my plugin-1.py").write_text(text)
    path = list(sys.path)
    before = set(claims)
    first, second = (load_plugin(tmp_path / folder / "my plugin-1.py") for folder in ("a", "b"))
    assert sys.path == path
    assert first != second
    module = sys.modules["ravine_plugin_my_plugin_1"]
    assert module.__file__ == str(first)
    assert module.Point.__module__ == module.__name__
    added = sorted(set(claims) - before)
    assert added[0] == "mine/my-plugin-1"
    assert re.fullmatch("mine/my-plugin-1-[0-9a-f]{8}", added[1])
    assert not list(tmp_path.rglob("__pycache__")), "nothing is written beside the file"


def test_a_plugin_may_load_another(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(f"{HEAD}claims.add(mine)")
    outer = tmp_path / "outer.py"
    load = (
        f"from ravine.plugin import load_plugin\nload_plugin({str(tmp_path / 'inner.py')!r})\nload_plugin(__file__)\n"
    )
    outer.write_text(f"{HEAD}{load}raise OSError")
    before = state()
    with pytest.raises(InputError, match="OSError"):
        load_plugin(outer)
    assert state() == before
    outer.write_text(f"{HEAD}{load}")
    load_plugin(outer)
    assert "mine/mine" in claims


# -- faults that show only when the plugin's things are used --

LATE_BOUND = """
from dataclasses import replace
from theory.claim import claims

def curve(facts, t, scale):
    raise ZeroDivisionError("no such bound")

claims.add(replace(claims["sgd/pl"], id="mine/late", curve=curve))
"""

LATE_KERNEL = """
from typing import Any, NamedTuple
from problems.kernel import step
from theory.methods.method import Method, methods

class Odd(NamedTuple):
    unused: float = 0.0

@step.of(Odd)
def odd(method, problem, x, indices, weights, m, gamma, rho, lam, g, y):
    return open("x")

@methods.register("odd")
def build() -> Method:
    return Method("odd", Odd())
"""


@pytest.mark.parametrize(
    ("text", "command", "sentence"),
    [
        (LATE_BOUND, ["verify", "mine/*"], "fails in line 6 with ZeroDivisionError: no such bound"),
        (LATE_KERNEL,
         ["run", "--problem", "quadratic:d=2,mu=1,L=2", "--method", "odd", "--steps", "9", "--out", "x.npz"],
         "has a kernel that numba cannot compile in line 11: Untyped global name 'open'"),
    ],
)  # fmt: skip
def test_late_faults_are_one_sentence(text: str, command: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "ravine", *command, "--plugin", "late.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    last = [line for line in done.stderr.splitlines() if line]
    assert len(last) == 1
    assert f"plugin '{tmp_path / 'late.py'}' {sentence}" in last[0]
    assert not (tmp_path / "x.npz").exists()


def test_a_replay_names_the_plugin() -> None:
    load_plugin(str(EXAMPLE))
    assert claims.replay_command("example/linear", "--steps 3").endswith(f"--steps 3 --plugin {EXAMPLE}")
    assert claims.replay_command("sgd/pl", "--steps 3") == "ravine check sgd/pl --steps 3"
