"""ravine plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import (
    AGREE,
    INCONCLUSIVE,
    VIOLATED,
    JsonFile,
    Plugin,
    ProblemSpec,
    Seed,
    app,
    load,
    open_console,
    read_count,
    write_json,
)

if TYPE_CHECKING:
    from experiments.verify.reached import Reached
    from theory.plan import Promise


@app.command(
    epilog="Examples:  ravine plan --problem ridge:data=diabetes,reg=0.1,scale=rows --epsilon 1   |   "
    "ravine plan --problem logistic:file=train.svm,reg=0.01 --method sam --epsilon 1e-3 --check"
)
def plan(
    problem: ProblemSpec,
    epsilon: Annotated[str, typer.Option(help="Target for E[f(x) - f*]; where mu = 0, for the least E||grad f||.")],
    method: Annotated[str, typer.Option(help="unified-sam:lam=0.5, sam, usam, sgd, ...")] = "unified-sam:lam=0.5",
    sampling: Annotated[
        list[str] | None, typer.Option(help="Plan for these; default uniform, importance, full, best tau-nice.")
    ] = None,
    rho: Annotated[
        str | None, typer.Option(help="Radius; default the largest that costs at most 10 % more steps.")
    ] = None,
    x0: Annotated[
        str | None, typer.Option(help="start, zeros, random, scaled:FACTOR, FILE.npy or numbers as 1/2/3.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run each plan and show whether the target was reached.")
    ] = False,
    seed: Seed = "0",
    plugin: Plugin = None,
    json_file: JsonFile = None,
) -> int:
    """Plan a run: step sizes, steps and sample gradients that the theory promises for a target accuracy."""
    from ravine.files import check_target

    load(plugin)
    first = read_count(seed, "seed", least=0)
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from problems.problem import check_positive, problems
    from problems.spec import read_float
    from theory.families import read_start
    from theory.methods.method import methods
    from theory.plan import plan as make_plan
    from theory.samplings import samplings
    from theory.schedules import read_schedule

    accuracy = check_positive(read_float(epsilon, argument="epsilon"), argument="epsilon")
    made, rule = problems.build(problem), methods.build(method)
    if rho is not None and not rule.uses_rho:
        raise InputError(f"rho is not used by {rule.name}, got {rho!r}; leave it out")
    promises = make_plan(
        made,
        rule,
        accuracy,
        rho=read_schedule(rho, argument="rho") if rho is not None else None,
        x0=read_start(x0, made),
        chosen=[samplings.build(text, problem=made) for text in sampling] if sampling else None,
    )
    console = open_console()
    what = "E[f(x_t) - f*]" if made.mu.value > 0 else "min_t E||grad f(x_t)||"
    console.print(f"problem    {made.name}, n = {made.n}, d = {made.d}", highlight=False, markup=False, soft_wrap=True)
    for remark in made.remarks:
        console.print(f"           {remark}", highlight=False, markup=False, soft_wrap=True)
    start = made.gap(read_start(x0, made))
    console.print(f"constants  L = {made.L}, mu = {made.mu}; f(x_0) - f* = {start:.6g}", highlight=False)
    console.print(f"target     {what} <= {accuracy:g} with {rule.name}", highlight=False, markup=False)
    if not promises:
        raise InputError(
            f"epsilon {epsilon} is promised by no claim within {10**15:.0e} steps for {rule.name}; "
            "choose a larger epsilon" + ("" if rho is None else " or a smaller rho")
        )
    console.print(_table(promises))
    cheapest = min(promises, key=lambda one: one.sample_gradients)
    console.print(f"fewest sample gradients: {cheapest.sampling}. To run it:", highlight=False, markup=False)
    console.print(f"  {_command(cheapest)}", highlight=False, markup=False, soft_wrap=True)
    code, runs = AGREE, []
    if check:
        for one in promises:
            code, found = _checked(one, accuracy, first, code)
            runs.append(found)
    if target is not None:
        write_json(
            target, {"problem": made.name, "method": rule.name, "epsilon": accuracy, "plans": _json(promises, runs)}
        )
    return code


def _command(one: Promise) -> str:
    """The run that the plan promises."""
    import shlex

    setting = one.setting
    words = ["ravine run", f"--problem {shlex.quote(setting.problem.name)}", f"--method {setting.method.name}"]
    words += [f"--sampling {shlex.quote(one.sampling)}", f"--gamma {one.gamma}"]
    words += [f"--rho {one.rho}"] if setting.method.uses_rho else []
    return " ".join([*words, f"--steps {one.steps}", "--out run.csv"])


def _table(promises: list[Promise]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading, side in (
        ("sampling", "left"), ("gamma", "right"), ("rho", "right"), ("steps", "right"), ("sample gradients", "right"),
        ("promised by", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for one in promises:
        rho, gamma = (
            f"from {s.largest:.4g}, falling" if s.constant is None else f"{s.largest:.6g}" for s in (one.rho, one.gamma)
        )
        table.add_row(one.sampling, gamma, rho, f"{one.steps:,}", f"{one.sample_gradients:,.0f}", one.claim)
    return table


def _checked(one: Promise, epsilon: float, seed: int, code: int) -> tuple[int, Reached | None]:
    """Run one plan; the worst exit code so far."""
    from experiments.engine.run import Progress
    from experiments.verify.reached import affordable, copies_of, run_plan
    from ravine.progress import reporting, watching

    if (clause := affordable(one)) is not None:
        print(f"{one.sampling}: not run, {clause}")
        return max(code, INCONCLUSIVE) if code != VIOLATED else code, None
    progress = Progress()
    with reporting(f"plan {one.sampling}") as reporter:
        reporter.expect(float(one.steps) * copies_of(one))
        with watching(reporter, lambda: float(progress.steps)):
            found = run_plan(one, epsilon, seed=seed, progress=progress)
    print(f"{one.sampling}: {found.sentence}")
    worst = {"reached": AGREE, "missed": VIOLATED}.get(found.outcome, INCONCLUSIVE)
    return VIOLATED if VIOLATED in (worst, code) else max(worst, code), found


def _json(promises: list[Promise], runs: list[Reached | None]) -> list[dict[str, Any]]:
    rows = []
    for number, one in enumerate(promises):
        row: dict[str, Any] = {
            "sampling": one.sampling, "gamma": str(one.gamma), "rho": str(one.rho), "steps": one.steps,
            "sample_gradients": one.sample_gradients, "claim": one.claim,
        }  # fmt: skip
        if runs and (found := runs[number]) is not None:
            row["check"] = found.as_json()
        rows.append(row)
    return rows
