"""ravine worst-case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, INCONCLUSIVE, JsonFile, app, open_console, read_count, read_jobs, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from theory.worst_case.one_dimension import Quadratic
    from theory.worst_case.question import Answer
    from theory.worst_case.worst_function import WorstFunction

SHOWN_DIMENSIONS = 3
"""A worst function in more dimensions is not printed; --json has it."""


@app.command(
    "worst-case",
    epilog="Examples:  ravine worst-case --method usam --class strongly-convex --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 "
    "--steps 5   |   ravine worst-case --method sgd --class nonconvex --L 1 --gamma 1 --steps 10   |   "
    "ravine worst-case --method unified-sam --lam 0.5 --class pl --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 --steps 1   |   "
    "ravine worst-case --method usam --class strongly-convex --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 --components 4 "
    "--noise 1   |   ravine worst-case constant-radius/strongly-convex --constant rate",
)
def worst_case(
    claim_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A claim's id: how much stronger could its constants be?")
    ] = None,
    method: Annotated[str | None, typer.Option(help="sgd, usam, sam or unified-sam.")] = None,
    function_class: Annotated[
        str | None, typer.Option("--class", help="strongly-convex, convex, pl or nonconvex; all of them L-smooth.")
    ] = None,
    mu: Annotated[str | None, typer.Option("--mu", help="Of strongly-convex and pl: 0 < mu < L.")] = None,
    L: Annotated[str | None, typer.Option("--L", help="The smoothness constant.")] = None,
    gamma: Annotated[str | None, typer.Option(help="Step size.")] = None,
    rho: Annotated[
        str | None, typer.Option(help="Radius; default 0. Where it multiplies g/||g|| it is a length.")
    ] = None,
    lam: Annotated[str | None, typer.Option(help="Mixing of unified-sam in [0, 1]; default 0.5.")] = None,
    steps: Annotated[str | None, typer.Option(help="N, 1 to 30.")] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="suboptimality (default), gradient (the smallest ||grad f||^2; default of nonconvex), distance."
        ),
    ] = None,
    solver: Annotated[str, typer.Option(help="clarabel or scs.")] = "clarabel",
    components: Annotated[
        str | None, typer.Option(help="One step on a finite sum of this many functions, 1 to 8; uniform sampling.")
    ] = None,
    noise: Annotated[
        str | None, typer.Option(help="With --components: E||grad f_i(x*)||^2; default 0, all minimal at x*.")
    ] = None,
    constant: Annotated[
        list[str] | None, typer.Option(help="With an ID: a named constant, as often as you like; default all.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="With an ID: keep brackets in this file and reuse them.")] = None,
    full: Annotated[bool, typer.Option("--full", help="With an ID: the whole grid of settings.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="With an ID: write its brackets beside the catalogue's others.")
    ] = False,
    jobs: Annotated[str | None, typer.Option("--jobs", help="With an ID: processes; default one per core.")] = None,
    json_file: JsonFile = None,
) -> int:
    """The worst of N steps over every function of a class, by semidefinite programming; or, of a claim, how much
    stronger its constants could be. Exit 0: answered; 3: a solver missed its tolerance."""
    from ravine.files import check_target
    from theory.worst_case.estimation import check_solver, require

    require()
    asked = {
        "method": method, "class": function_class, "mu": mu, "L": L, "gamma": gamma, "rho": rho, "lam": lam,
        "steps": steps, "measure": measure,
    }  # fmt: skip
    given = [name for name, text in {**asked, "components": components, "noise": noise}.items() if text is not None]
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None
    if claim_id is not None:
        if given:
            raise InputError(f"{given[0]} cannot be given with the ID {claim_id!r}; give one of the two")
        from ravine.commands.worst_case_brackets import show_brackets

        return show_brackets(
            claim_id, constants=constant, solver=check_solver(solver), store=store, full=full, jobs=read_jobs(jobs),
            keep=keep, json_target=target,
        )  # fmt: skip
    if not given:
        raise InputError("an ID or a method is missing; write ravine worst-case ID, or --method with a class and steps")
    for name, wanted in {
        "constant": constant, "store": store, "full": full, "keep": keep, "jobs": jobs,
    }.items():  # fmt: skip
        if wanted:
            raise InputError(f"{name} is read with the ID of a claim only; leave it out")
    if noise is not None and components is None:
        raise InputError(f"noise needs components, of whose gradients it is the variance at x*, got {noise!r} alone")
    if components is not None:
        from ravine.commands.worst_case_sums import answer_sum

        return answer_sum(asked, components, noise or "0", solver, target)
    answered = _asked(asked, solver)
    _show(open_console(), answered)
    if target is not None:
        write_json(target, answered.as_json())
    return INCONCLUSIVE if answered.verdict == "inconclusive" else AGREE


def _asked(texts: dict[str, str | None], solver: str) -> Answer:
    """The question that the options ask, answered."""
    from problems.spec import read_float
    from theory.worst_case.question import Question, answer

    for name in ("method", "class", "L", "gamma", "steps"):
        if texts[name] is None:
            raise InputError(f"{name} is missing; a question needs --method, --class, --L, --gamma and --steps")

    def number(name: str) -> float | None:
        text = texts[name]
        return None if text is None else read_float(text, argument=name)

    return answer(
        Question(
            method=str(texts["method"]),
            function_class=str(texts["class"]),
            mu=number("mu"),
            L=read_float(str(texts["L"]), argument="L"),
            gamma=read_float(str(texts["gamma"]), argument="gamma"),
            rho=number("rho") or 0.0,
            lam=number("lam"),
            steps=read_count(str(texts["steps"]), "steps"),
            measure=texts["measure"],
            solver=solver,
        )
    )


def _show(console: Console, answered: Answer) -> None:
    """The value, what it means, how far to trust it, and the function."""
    from theory.worst_case.estimation import CLASSES

    asked = answered.question
    steps = f"gamma = {asked.gamma:g}" + (f", rho = {asked.rho:g}" if asked.method != "sgd" else "")
    steps += f", lam = {asked.mixing:g}" if asked.method == "unified-sam" else ""
    constants = (f"mu = {asked.mu:g}, " if asked.mu is not None else "") + f"L = {asked.L:g}"
    plural = "s" if asked.steps > 1 else ""
    console.print(f"{asked.steps} step{plural} of {asked.method}, {steps}", highlight=False, style="bold")
    rows = [("functions", f"{CLASSES[asked.cell.function_class]}; {constants}")]
    attained = f"functions attain {answered.lower:.6g}"
    if answered.verdict == "answered":
        rows += [
            ("worst case", f"{answered.value:.6g}" if answered.exact else f"at most {answered.value:.6g}; {attained}"),
            ("so", asked.inequality(answered.value)),
            ("which is", "exact, up to the solver's tolerance" if answered.exact else "an upper bound"),
        ]
    else:
        rows += [("worst case", f"{answered.verdict}: {answered.fault}"), ("", attained)]
    gap = f"primal-dual gap {answered.gap:.1e}, " if answered.gap == answered.gap else ""
    problems = f"{answered.problems} problem{'s' if answered.problems > 1 else ''}, {answered.seconds:.1f} s"
    rows += [("way", answered.way), ("solver", f"{answered.solver.lower()}, {answered.status}, {gap}{problems}")]
    if answered.verdict == "inconclusive":
        other = "scs" if answered.solver == "CLARABEL" else "clarabel"
        rows.append(("next", f"try --solver {other}, or fewer steps"))
    if answered.ball == answered.ball and answered.problems > 1:
        rows.append(("relaxation", f"any perturbation of the ball: at most {answered.ball:.6g}"))
    rows += _worst(answered)
    for label, text in rows:
        console.print(f"{label:<12}{text}", highlight=False, markup=False, soft_wrap=True)
    worst = answered.worst
    if worst is not None and worst.quadratic is None and worst.dimension <= SHOWN_DIMENSIONS:
        console.print()
        console.print(_table(worst))


def _worst(answered: Answer) -> list[tuple[str, str]]:
    """What is known of the worst function."""
    quadratic, worst = answered.quadratic, answered.worst
    if worst is None:
        return [("function", f"none shown: {answered.no_worst}"), ("", f"of quadratics, {_quadratic(quadratic)}")]
    if worst.quadratic is not None:
        found = _quadratic(worst.quadratic)
    else:
        where = "on a line" if worst.dimension == 1 else f"in {worst.dimension} dimensions"
        found = f"not a quadratic, {where}: attains {worst.attains:.6g}"
        if worst.dimension > SHOWN_DIMENSIONS:
            found += "; --json writes it"
    checked = f"its data meet the conditions of the class, checked apart, up to {worst.violation:.1e}"
    return [("function", found), ("", checked)]


def _quadratic(found: Quadratic) -> str:
    return f"f(x) = {found.l:.6g} x^2/2 from x_0 = {found.start:.6g} attains {found.attains:.6g}"


def _table(worst: WorstFunction) -> Any:
    """Points, gradients and values."""
    from rich.table import Table

    table = Table("", "x", "gradient", "f - inf f")
    for name, x, g, value in zip(worst.names, worst.points, worst.gradients, worst.values, strict=True):
        table.add_row(name, _vector(x), _vector(g), f"{value:.5f}")
    return table


def _vector(entries: Any) -> str:
    return ", ".join(f"{entry + 0.0:.5f}" for entry in entries)
