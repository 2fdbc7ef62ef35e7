"""`ravine doctor`: versions, folders, and a run that must come out right."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .version import __version__

Row = tuple[str, str, bool]

LIBRARIES = ("numpy", "scipy", "scikit-learn", "matplotlib", "typer", "rich")


def examine() -> Iterator[Row]:
    """Rows of (what, finding, whether it is as it should be)."""
    yield "ravine", f"{__version__}, from {Path(__file__).resolve().parent.parent}", True
    yield "python", f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores", True
    for name in LIBRARIES:
        try:
            yield name, version(name), True
        except PackageNotFoundError:
            yield name, "not installed; run pip install -e .", False
    from experiments.engine import dispatch

    for name, text in dispatch.description().items():
        yield name, text, True
    yield from _bundled_data()
    yield _plateau()


def _bundled_data() -> Iterator[Row]:
    from problems.errors import InputError
    from problems.problem import problems

    for spec in ("logistic:data=breast_cancer,reg=2,scale=columns", "ridge:data=diabetes,reg=0.1"):
        try:
            problem = problems.build(spec)
        except InputError as error:
            yield "bundled data", str(error), False
        else:
            yield "bundled data", f"{spec}: n = {problem.n}, d = {problem.d}", True


def _plateau() -> Row:
    """The exact plateau, reached in a diagonal basis only if small components are kept from underflow."""
    from experiments.engine.run import simulate
    from problems.quadratics import Quadratic
    from theory.setting import make_setting

    problem = Quadratic.with_spectrum(mu=0.1, L=10.0, d=100, basis="diagonal")
    run = simulate(make_setting(problem, gamma=0.0125, rho=0.0125, lam=0.5), steps=60_000)
    reached = float(run.gap[0, -1])
    good = abs(reached / 8.7533481557e-07 - 1) < 1e-9
    return "engine", f"plateau of a quadratic {reached:.10e}, exact 8.7533481557e-07", good
