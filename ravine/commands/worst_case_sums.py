"""ravine worst-case --components N: one step on a finite sum, in expectation over a uniform component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from problems.errors import InputError
from ravine.commands.common import AGREE, INCONCLUSIVE, open_console, read_count, write_json

ONLY: dict[str, tuple[str, ...]] = {
    "method": ("sgd", "usam"),
    "class": ("strongly-convex",),
    "steps": ("1",),
    "measure": ("distance",),
}
"""What a finite sum is asked: E||x_1 - x*||^2 given ||x_0 - x*|| <= 1."""


def answer_sum(asked: Mapping[str, str | None], components: str, noise: str, solver: str, target: Path | None) -> int:
    """Answer and print. Exit 3 where the solver missed its tolerance."""
    from problems.spec import read_float
    from theory.worst_case.estimation import check_solver
    from theory.worst_case.finite_sums import FiniteSum, distance_after

    for name, allowed in ONLY.items():
        given = asked[name]
        if given not in (None, *allowed) or (given is None and name in ("method", "class")):
            raise InputError(f"{name} must be {' or '.join(allowed)} with components, got {given!r}")
    if asked["lam"] is not None:
        raise InputError(f"lam is not used with components, got {asked['lam']!r}; leave it out")
    for name in ("mu", "L", "gamma"):
        if asked[name] is None:
            raise InputError(f"{name} is missing; components need --mu, --L and --gamma")
    values = {name: read_float(str(asked[name] or 0), argument=name) for name in ("mu", "L", "gamma", "rho")}
    if asked["method"] == "sgd" and values["rho"] != 0:
        raise InputError(f"rho is not used by sgd, got {values['rho']:g}; leave it out")
    case = FiniteSum(read_count(components, "components"), **values)
    level = read_float(noise, argument="noise")
    found = distance_after(case, level, solver=check_solver(solver))
    start = f"||x_0 - x*|| <= 1, E||grad f_i(x*)||^2 <= {level:g}" if level else "||x_0 - x*|| <= 1, all minimal at x*"
    plural = f"{case.n} function" + "s" * (case.n > 1)
    rows = [
        ("functions", f"{plural}, each mu-strongly convex and L-smooth; mu = {case.mu:g}, L = {case.L:g}"),
        ("worst case", f"inconclusive: {found.fault}" if found.fault else f"{found.value:.6g}"),
        ("so", f"E||x_1 - x*||^2 <= {found.value:.6g} given {start}"),
        ("which is", "exact for so many functions, up to the solver's tolerance"),
        ("solver", f"{found.solver.lower()}, {found.status}, primal-dual gap {found.gap:.1e}, {found.seconds:.1f} s"),
    ]
    console = open_console()
    head = f"1 step of {asked['method']} on a uniform component, gamma = {case.gamma:g}, rho = {case.rho:g}"
    console.print(head, highlight=False, style="bold")
    for label, text in rows if not found.fault else [row for row in rows if row[0] not in ("so", "which is")]:
        console.print(f"{label:<12}{text}", highlight=False, markup=False, soft_wrap=True)
    if target is not None:
        kept = {"value": found.value, "primal": found.primal, "error": found.error, "status": found.status}
        write_json(target, {**asdict(case), "noise": level, "solver": found.solver, **kept, "fault": found.fault})
    return INCONCLUSIVE if found.fault else AGREE
