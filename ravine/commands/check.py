"""ravine check."""

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
    SamplingSpec,
    Seed,
    app,
    load,
    open_console,
    read_count,
    write_json,
)

if TYPE_CHECKING:
    from theory.claim import Claim
    from theory.setting import Setting


def _setting(
    claim: Claim,
    problem: str,
    sampling: str,
    gamma: str | None,
    rho: str | None,
    lam: str | None,
    x0: str | None,
    method: str | None,
    mu: str | None,
    L: str | None,
) -> Setting:
    """The setting of `check`, step sizes 0 where they are left open."""
    from problems.problem import problems
    from problems.spec import read_float
    from theory.families import method_of, read_start
    from theory.samplings import samplings
    from theory.schedules import read_schedule
    from theory.setting import make_setting

    rule = method_of(claim, method)
    if not rule.uses_rho and rho is not None:
        raise InputError(f"rho is not used by {rule.name}, got {rho!r}; leave it out")
    if lam is not None and not rule.uses_lam:
        raise InputError(f"lam is not used by {rule.name}, got {lam!r}; leave it out")
    if rule.uses_rho and (gamma is None) != (rho is None):
        given, missing = ("gamma", "rho") if rho is None else ("rho", "gamma")
        raise InputError(f"{given} is given but {missing} is not; give both, or neither to have them chosen")
    steps = [read_schedule(text or "0", argument=name) for name, text in (("gamma", gamma), ("rho", rho))]
    if gamma is not None and not steps[0].largest > 0:
        raise InputError(f"gamma must be positive, got {gamma!r}")
    made = problems.build(problem)
    known = {name: read_float(text, argument=name) for name, text in (("mu", mu), ("L", L)) if text is not None}
    if known:
        made.given(**known)
    return make_setting(
        made,
        sampling=samplings.build(sampling, problem=made),
        method=rule,
        gamma=steps[0],
        rho=steps[1],
        lam=read_schedule(lam, argument="lam", high=1.0) if lam is not None else None,
        x0=read_start(x0, made),
    )


@app.command(
    epilog="Examples:  ravine check unified-sam/pl-constant --problem ridge:file=train.svm,reg=0.01 "
    "--sampling importance --lam 0.5   |   "
    "ravine check sgd/pl --problem logistic:data=breast_cancer,reg=2,scale=columns --sampling tau-nice:tau=16 "
    "--figure check.svg"
)
def check(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="A claim's id.")],
    problem: ProblemSpec,
    sampling: SamplingSpec = "full",
    gamma: Annotated[str | None, typer.Option(help="Step size, a number or a schedule; chosen when left out.")] = None,
    rho: Annotated[str | None, typer.Option(help="Radius, a number or a schedule; chosen when left out.")] = None,
    lam: Annotated[str | None, typer.Option(help="Mixing in [0, 1], a number or a schedule; default 0.5.")] = None,
    method: Annotated[
        str | None, typer.Option(help="The claim's method with other parameters: gsam:alpha=0.5.")
    ] = None,
    x0: Annotated[
        str | None, typer.Option(help="start, zeros, random, scaled:FACTOR, FILE.npy or numbers as 1/2/3.")
    ] = None,
    steps: Annotated[str | None, typer.Option(help="Horizon; default where the bound has halved.")] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option("--scale", help="rate=2,neighbourhood=0.5 strengthens the bound, step_limit=2 relaxes its steps."),
    ] = None,
    mu: Annotated[str | None, typer.Option("--mu", help="A PL constant that you know, taken as given.")] = None,
    L: Annotated[str | None, typer.Option("--L", help="A smoothness constant that you know, taken as given.")] = None,
    seed: Seed = "0",
    plugin: Plugin = None,
    json_file: JsonFile = None,
    figure: Annotated[str | None, typer.Option(help="Draw measured and bound to .svg, .png or .pdf.")] = None,
) -> int:
    """Check one claim on one problem: constants, hypotheses, the run against the bound, a verdict."""
    from ravine.files import check_target, write_whole

    load(plugin)
    factors = _factors(scale)

    first = read_count(seed, "seed", least=0)
    horizon = read_count(steps, "steps") if steps is not None else None
    json_target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None
    figure_target = check_target(figure, argument="figure", endings=(".svg", ".png", ".pdf")) if figure else None

    from theory.claim import claims

    claim = claims[claim_id]
    setting = _setting(claim, problem, sampling, gamma, rho, lam, x0, method, mu, L)

    from experiments.engine.run import Progress
    from experiments.report.tables import constants_table, curve_table, hypotheses_table, styled
    from experiments.verify.check import prepare, run_check
    from ravine.progress import reporting, watching

    console = open_console()
    prepared = prepare(claim, setting, steps=horizon, scale=factors)
    console.print(f"{claim.id}: {claim.title}", highlight=False, style="bold")
    console.print(f"source: {claim.source} ({claim.source.provenance.value})", highlight=False)
    for label, text in (
        ("problem", f"{setting.problem.name}, n = {setting.problem.n}, d = {setting.problem.d}"),
        *(("", remark) for remark in setting.problem.remarks),
        ("sampling", setting.sampling.name),
        ("method", f"{setting.method.name}" + (f", lam = {prepared.setting.lam}" if setting.method.uses_rho else "")),
        ("steps", _steps_line(prepared.setting, prepared.chosen, claim.curve is not None, prepared.steps)),
        ("admissible", _admissible(claim, prepared)),
    ):
        console.print(f"{label:<11}{text}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(constants_table(prepared))
    console.print(hypotheses_table(prepared))
    prepared.claim.require(prepared.facts)
    progress = Progress()
    with reporting("check") as reporter:
        reporter.expect(float(prepared.steps * (1 if setting.deterministic else 64)))
        with watching(reporter, lambda: float(progress.steps)):
            result = run_check(prepared, seed=first, progress=progress)
    curve = curve_table(result)
    if curve is not None:
        console.print(curve)
    for row in result.evidence:
        outcome = row.reason or (
            f"{len(row.abscissa)} points, closest measured/bound {row.ratio:.6f}"
            if row.route.startswith("exact")
            else ""
        )
        console.print(
            f"{row.route}: {row.verdict.value}" + (f": {outcome}" if outcome else ""), highlight=False, markup=False
        )
    for sharp in result.sharpness:
        text = f"critical scale of {sharp.constant}: {sharp.scale.sharpest:.6g}, by {sharp.route}"
        console.print(text, highlight=False, markup=False)
    console.print(
        f"verdict: {styled(result.verdict)}" + (f": {result.reason}" if result.reason else ""), highlight=False
    )
    if json_target is not None:
        write_json(json_target, result.as_json())
    if figure_target is not None:
        from experiments.report.figure import check_figure
        from experiments.report.style import styled as in_style

        kind = figure_target.suffix[1:]
        with in_style():
            drawn = check_figure(result)
            write_whole(figure_target, lambda stream: drawn.savefig(stream, format=kind, bbox_inches="tight"))

    from experiments.verify.verdict import AGREES, Verdict

    return AGREE if result.verdict in AGREES else VIOLATED if result.verdict is Verdict.VIOLATED else INCONCLUSIVE


def _factors(texts: list[str] | None) -> dict[str, float]:
    """NAME=FACTOR,NAME=FACTOR, in one option or several."""
    from problems.problem import check_nonnegative
    from problems.spec import read_float

    factors = {}
    for text in (part for option in texts or [] for part in option.split(",")):
        name, equals, number = text.partition("=")
        if not equals or not name:
            raise InputError(f"scale must be NAME=FACTOR, got {text!r}; write --scale rate=2")
        factors[name] = check_nonnegative(read_float(number, argument="scale"), argument="scale")
    return factors


def _steps_line(setting: Setting, chosen: bool, informative: bool, steps: int) -> str:
    how = "where the bound falls soonest" if informative else "generously"
    sizes = f"gamma = {setting.gamma}" + (f", rho = {setting.rho}" if setting.method.uses_rho else "")
    return f"{steps}, {sizes}" + (f" (chosen {how})" if chosen else "")


def _admissible(claim: Claim, prepared: Any) -> str:
    """The limits that the hypotheses set on gamma and rho."""
    limits = [
        f"{finding.hypothesis} {finding.relation} {finding.limit:.6g}"
        for finding in prepared.findings
        if finding.hypothesis in ("gamma", "rho", "theta", "1 - b", "B theta") and finding.relation in ("<", "<=")
    ]
    return ", ".join(limits) or "see the hypotheses"
