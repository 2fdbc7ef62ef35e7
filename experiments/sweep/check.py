"""What is wrong with a sweep before anything runs: unknown names and keys, unreadable schedules.

Problems are not built here: that may take long, or end the process; a cell whose problem cannot be built is a row
that says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from problems.errors import InputError, nearest
from problems.problem import problems
from problems.spec import Catalogue, parse
from theory.claim import claims
from theory.families import method_of
from theory.methods.method import methods
from theory.samplings import read_array, samplings
from theory.schedules import read_schedule

from .spec import Sweep

STARTS = ("start", "zeros", "random")


def check_sweep(sweep: Sweep) -> None:
    """Raise InputError, naming the axis, for what every cell of some value would stumble over."""
    if sweep.claim is not None and claims[sweep.claim].curve is None:
        raise InputError(
            f"claim {sweep.claim!r} has no bound along a run to compare with; ravine check judges it on one setting"
        )
    for text in _texts(sweep, "problem"):
        _check_keys(problems, text, given=())
    for text in _texts(sweep, "sampling"):
        _check_keys(samplings, text, given=("problem",))
    _check_methods(sweep)
    for name, high in (("gamma", None), ("rho", None), ("lam", 1.0)):
        for text in _texts(sweep, name):
            schedule = read_schedule(text, argument=f"axes.{name}", high=high)
            if name == "gamma" and not schedule.largest > 0:
                raise InputError(f"axes.gamma must be positive, got {text!r}")
    for text in _texts(sweep, "x0"):
        if text not in STARTS and not text.startswith("scaled:"):
            read_array(text, argument="axes.x0")


def _texts(sweep: Sweep, name: str) -> Iterator[str]:
    """The texts of an axis, with the first cell's variables filled in."""
    axis = sweep.axis(name)
    for value in axis.values if axis is not None else ():
        if isinstance(value, str):
            yield str(sweep.filled(value, 0))


def _check_keys(catalogue: Catalogue[Any], text: str, given: tuple[str, ...]) -> None:
    """The name and the keys of a SPEC; not its values, which only its builder can judge."""
    name, pairs = parse(text, argument=f"axes.{catalogue.kind}")
    parameters = catalogue.keys(name)
    known = [key for key in parameters if key not in given]
    for key in pairs:
        if key not in known:
            raise InputError(
                f"unknown key {key!r} in {catalogue.kind} {text!r}; {nearest(key, known) if known else 'it takes none'}"
            )
    for key in known:
        if key not in pairs and parameters[key].default is inspect.Parameter.empty:
            raise InputError(f"{catalogue.kind} {text!r} lacks the key {key!r}; write {name}:{key}=VALUE")


def _check_methods(sweep: Sweep) -> None:
    claim = None if sweep.claim is None else claims[sweep.claim]
    texts = _texts(sweep, "method")
    rules = [methods.build(text) if claim is None else method_of(claim, text) for text in texts]
    if not rules and claim is not None:
        rules.append(method_of(claim))
    names = ", ".join(rule.name for rule in rules)
    rho, lam = sweep.axis("rho"), sweep.axis("lam")
    if rho is not None and rho.values != (0.0,) and not any(rule.uses_rho for rule in rules):
        raise InputError(f"axes.rho is not used by {names}; leave it out")
    if lam is not None and not any(rule.uses_lam for rule in rules):
        raise InputError(f"axes.lam is not used by {names}; leave it out")
