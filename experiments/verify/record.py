"""Evidence as a record of plain values for the store, and the key under which it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from problems.errors import InputError
from theory.schedules import Schedule

from .case import Case
from .verdict import Critical, Evidence, Verdict

EXACT_ROUTES = ("one-step", "points", "second-moments", "stationary", "paths", "plateau", "cycle", "corpus")
"""Routes that draw nothing: what they find does not depend on the seed, nor on what else is verified."""

_READ: dict[str, Callable[[Any], Any]] = {
    "verdict": Verdict,
    "critical": lambda entries: {name: Critical(*ends) for name, ends in entries.items()},
    "abscissa": lambda entries: np.array(entries, dtype=np.int64),
    "measured_curve": lambda entries: np.array(entries, dtype=np.float64),
    "bound_curve": lambda entries: np.array(entries, dtype=np.float64),
    "error_curve": lambda entries: np.array(entries, dtype=np.float64),
}


def evidence_as_record(evidence: Evidence) -> dict[str, Any]:
    """Plain numbers, strings and lists, infinities and NaN among them; `evidence_from_record` inverts it exactly."""
    return {field.name: _plain(getattr(evidence, field.name)) for field in fields(evidence)}


def evidence_from_record(record: dict[str, Any]) -> Evidence:
    """The evidence of a record. Raises InputError when it has other fields, or values that evidence cannot have."""
    names = [field.name for field in fields(Evidence)]
    if set(record) != set(names):
        raise InputError(f"record must hold {', '.join(names)}, got {', '.join(map(str, record)) or 'nothing'}")
    try:
        return Evidence(**{name: _READ.get(name, lambda entry: entry)(record[name]) for name in names})
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"record holds a value that evidence cannot have: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value.value if isinstance(value, Verdict) else value


def case_key(case: Case, route: str, *, control: str = "", seed: int, instances: int, budget: float) -> str:
    """The `instance` under which the store keeps what a route finds: words for people and a digest of all else.

    Two cases have one key only if the route gives both the same evidence: the digest covers the start, the data of
    problem, sampling and method, the schedules, the facts and the scale. control: the name of the control, if it is
    one. seed, instances (the M of the betting test) and budget count only where something is drawn, so that exact
    evidence is found again whatever else is verified beside it. The formulas are covered by the code's fingerprint.
    """
    digest = hashlib.sha256()
    for part in _parts(case):
        digest.update(len(part).to_bytes(8, "big") + part)
    if route not in EXACT_ROUTES and not case.setting.deterministic:
        digest.update(repr((int(seed), int(instances), float(budget))).encode())
    words = f"{case.setting}, {case.steps} steps" + (f", control: {control}" if control else "")
    return f"{words} [{digest.hexdigest()[:16]}]"


def _parts(case: Case) -> Iterator[bytes]:
    setting, facts = case.setting, case.facts
    scale = sorted((name, float(factor)) for name, factor in case.scale.items())
    yield repr((case.origin, case.replay, case.steps, scale)).encode(errors="replace")
    for data in (setting.problem.data, setting.sampling.data, setting.method.data):
        yield type(data).__qualname__.encode()
        yield from _content(data)
    yield from _content((setting.x0, setting.problem.centre))
    for schedule in (setting.gamma, setting.rho, setting.lam):
        yield from _schedule(schedule)
    for field in fields(facts):
        value = getattr(facts, field.name)
        yield from _schedule(value) if isinstance(value, Schedule) else [f"{field.name}={_plain(value)!r}".encode()]


def _content(entry: Any) -> Iterator[bytes]:
    if isinstance(entry, tuple):
        for part in entry:
            yield from _content(part)
        return
    array = np.asarray(entry)
    yield f"{array.dtype} {array.shape}".encode()
    yield array.tobytes()


def _schedule(schedule: Schedule) -> Iterator[bytes]:
    limits = (float(schedule.largest), float(schedule.smallest), schedule.constant)
    yield f"{schedule.name} {limits!r}".encode()
    yield schedule.at(np.array([0, 1, 10, 1_000, 100_000])).tobytes()
