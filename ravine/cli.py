"""The command line. Exit 0: agreement; 1: a claim violated or a control not refuted; 2: bad input; 3: something
inconclusive; 130: interrupted."""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError, nearest

from .guard import IntruderError, check_packages
from .version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from experiments.verify.search import Find
    from experiments.verify.verify import ClaimResult
    from theory.claim import Claim
    from theory.setting import Setting

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="ravine: an executable catalogue of what is proved about sharpness-aware minimisation (SAM).",
    epilog="Examples:  ravine verify   |   ravine show unified-sam/pl-constant   |   "
    "ravine check unified-sam/pl-constant --problem ridge:data=diabetes,reg=0.1,scale=rows --sampling uniform",
)
bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure speed, as ratios within one run.")
app.add_typer(bench_app, name="bench")

USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""Typer carries its own copy of click; this is that copy's UsageError."""

AGREE, VIOLATED, BAD_INPUT, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130

ProblemSpec = Annotated[
    str, typer.Option("--problem", help="SPEC, e.g. quadratic:d=50,mu=0.1,L=1 or ridge:file=F,reg=0.1.")
]
SamplingSpec = Annotated[
    str, typer.Option("--sampling", help="full, uniform, importance, single:p=F.npy, tau-nice:tau=16, ...")
]
Seed = Annotated[str, typer.Option("--seed", help="A whole number >= 0.")]
Jobs = Annotated[str | None, typer.Option("--jobs", help="Threads; default one per core. Results do not depend on it.")]
Plugin = Annotated[
    str | None, typer.Option("--plugin", help="Run this Python file first: it adds claims, methods or problems.")
]
JsonFile = Annotated[str | None, typer.Option("--json", help="Write the result to this .json file.")]


def main() -> None:
    """Entry point of the `ravine` command."""
    code = run_command(sys.argv[1:])
    if code == INTERRUPTED:
        print("ravine: interrupted", file=sys.stderr)
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every foreseeable fault is one sentence on stderr."""
    try:
        check_packages()
        outcome = app(arguments, standalone_mode=False, prog_name="ravine")
    except (InputError, IntruderError) as error:
        return _complain(str(error))
    except USAGE_ERROR as error:
        return _complain(str(error).replace("\n", " ").rstrip(".") + "; ravine --help lists what is allowed")
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        from .plugin import blame

        if (fault := blame(error)) is None:
            raise
        return _complain(str(fault))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return AGREE
    except MemoryError as error:
        return _complain(f"not enough memory: {error}")
    return outcome if isinstance(outcome, int) else AGREE


def _complain(sentence: str) -> int:
    print(f"ravine: {sentence}", file=sys.stderr)
    return BAD_INPUT


def _console() -> Console:
    from rich.console import Console

    # A pipe has no width; wide enough for every table, so that nothing wraps in logs and files.
    return Console() if sys.stdout.isatty() else Console(width=132, soft_wrap=False)


def _count(text: str, argument: str, least: int = 1) -> int:
    from problems.problem import check_count
    from problems.spec import read_int

    return check_count(read_int(text, argument=argument), argument=argument, least=least)


def _jobs(text: str | None) -> int:
    return _count(text, "jobs") if text is not None else os.cpu_count() or 1


def _matching(globs: list[str] | None) -> list[str]:
    """Ids of the claims that match any of the patterns, all of them by default."""
    from theory.claim import claims

    if not globs:
        return list(claims)
    chosen = []
    for pattern in globs:
        found = [claim for claim in claims if fnmatch.fnmatchcase(claim, pattern)]
        if not found:
            raise InputError(f"no claim matches {pattern!r}; {nearest(pattern, claims)}")
        chosen += found
    return sorted(set(chosen))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ravine {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("list", epilog="Example:  ravine list 'unified-sam/*'")
def list_claims(
    glob: Annotated[list[str] | None, typer.Argument(help="Patterns of claim ids; default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plugin: Plugin = None,
) -> None:
    """List the claims: id, kind, provenance, source."""
    _load(plugin)
    from theory.claim import claims

    chosen = [claims[claim_id] for claim_id in _matching(glob)]
    rows = [(c.id, c.kind.value, c.source.provenance.value, str(c.source)) for c in chosen]
    if as_json:
        print(
            json.dumps([dict(zip(("id", "kind", "provenance", "source"), row, strict=True)) for row in rows], indent=1)
        )
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("claim", no_wrap=True)
    for heading in ("kind", "provenance", "source"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console().print(table)


@app.command(epilog="Example:  ravine show unified-sam/pl-constant")
def show(claim_id: Annotated[str, typer.Argument(metavar="ID", help="A claim's id.")], plugin: Plugin = None) -> None:
    """Show one claim: statement, hypotheses, provenance, sharpness, controls."""
    _load(plugin)
    from theory.claim import claims

    claim = claims[claim_id]
    lines = [
        f"{claim.id}: {claim.title}",
        "",
        f"  kind        {claim.kind.value}",
        f"  provenance  {claim.source.provenance.value}: {claim.source.note}",
        f"  source      {claim.source}",
        f"  measured    {claim.measure.value}",
        f"  method      {claim.method}",
        "",
        "statement (LaTeX)",
        f"  {claim.statement}",
        "",
        "hypotheses",
        *(f"  {h.text}" for h in claim.hypotheses),
    ]
    if claim.named_constants:
        lines += ["", "named constants", *(f"  {name}: {meaning}" for name, meaning in claim.named_constants.items())]
    lines += _sharpness_lines(claim)
    lines += ["", "controls, each of which the check must refute", *(f"  {control.name}" for control in claim.controls)]
    if claim.corrected:
        lines += ["", f"corrected statement: {claim.corrected}"]
    lines += [f"remark: {remark}" for remark in claim.remarks]
    lines += ["", "cite", f"  {claim.source.paper}"]
    print("\n".join(lines))


def _sharpness_lines(claim: Claim) -> list[str]:
    """The corpus of a claim: how much stronger each constant could be, and the instance that stops it."""
    from experiments.verify.corpus import entries
    from experiments.verify.sharpness import reading
    from theory.claim import claims

    known = entries(claim.id)
    if not known:
        return []
    lines = ["", "sharpness: the critical scale of each constant, on the sharpest instance stored"]
    for entry in known:
        lines += [
            f"  {entry.constant} {entry.scale:.6g}: {reading(entry.constant, entry.scale, up=entry.up)}",
            f"    {claims.replay_command(claim.id, entry.replay)}",
        ]
    return lines


def _load(plugin: str | None) -> Path | None:
    """Run the user's file, where one is given."""
    if plugin is None:
        return None
    from .plugin import load_plugin

    return load_plugin(plugin)


@app.command(epilog="Examples:  ravine verify   |   ravine verify 'unified-sam/*' --seed 1 --json out.json")
def verify(
    glob: Annotated[list[str] | None, typer.Argument(help="Patterns of claim ids; default all.")] = None,
    profile: Annotated[str, typer.Option(help="quick, or full for many more instances.")] = "quick",
    seed: Seed = "0",
    jobs: Jobs = None,
    store: Annotated[
        str | None, typer.Option(help="Keep every finished result in this SQLite file, as soon as it is there.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="With --store: measure only what is missing there.")] = False,
    plugin: Plugin = None,
    json_file: JsonFile = None,
) -> int:
    """Verify claims: run every check and every control, and give one verdict a claim."""
    from .files import check_target

    added = _load(plugin)
    if resume and store is None:
        raise InputError("resume needs a store to take results from, got none; add --store FILE")

    if profile not in ("quick", "full"):
        raise InputError(f"profile must be quick or full, got {profile!r}")
    ids = _matching(glob)
    first = _count(seed, "seed", least=0)
    workers = _jobs(jobs)
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from contextlib import nullcontext

    from experiments.engine.run import Progress
    from experiments.report.tables import sharpness_lines, verify_lines
    from experiments.store import Store, code_fingerprint
    from experiments.verify.verify import verify as run_verify

    from .progress import reporting

    started = time.perf_counter()
    fingerprint = code_fingerprint([added] if added else []) if store is not None else ""
    opened = Store.open(store, fingerprint=fingerprint) if store is not None else nullcontext(None)
    with opened as kept, reporting("verify") as reporter:
        results = run_verify(
            ids,
            seed=first,
            profile="full" if profile == "full" else "quick",
            workers=workers,
            store=kept,
            resume=resume,
            progress=Progress(),
            on_plan=reporter.expect,
            on_done=lambda claim: reporter.show(reporter.done + 1, claim),
        )
    seconds = time.perf_counter() - started
    if target is not None:
        _write_json(target, _verify_json(results, first, profile, seconds))
    console = _console()
    for line in verify_lines(results):
        console.print(line, highlight=False)
    if profile == "full":
        for line in sharpness_lines(results):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for result in results:
        if result.reason:
            text = f"{result.claim.id}: {result.verdict.value}: {result.reason}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    rows = sum(len({e.instance for e in r.evidence}) for r in results)
    controls = [c for r in results for c in r.controls]
    refuted = sum(c.refuted for c in controls)
    console.print(
        f"{len(results)} claims, {rows} instances, {refuted} of {len(controls)} controls refuted, "
        f"seed {first}, profile {profile}, {seconds:.0f} s",
        highlight=False,
    )
    return _exit_code(results)


def _exit_code(results: list[ClaimResult]) -> int:
    from experiments.verify.verdict import AGREES, Verdict

    if any(r.verdict is Verdict.VIOLATED or not all(c.refuted for c in r.controls) for r in results):
        return VIOLATED
    return AGREE if all(r.verdict in AGREES for r in results) else INCONCLUSIVE


def _verify_json(results: list[ClaimResult], seed: int, profile: str, seconds: float) -> dict[str, Any]:
    return {
        "version": __version__,
        "commit": _commit(),
        "seed": seed,
        "profile": profile,
        "seconds": seconds,
        "claims": [result.as_json() for result in results],
    }


def _commit() -> str | None:
    """The commit of the source tree, None when it is not a git checkout."""
    import subprocess

    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(home), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _write_json(target: Path, content: Any) -> None:
    from .files import write_whole

    text = json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"
    write_whole(target, lambda stream: stream.write(text.encode()))


def _plain(content: Any) -> Any:
    """Numbers that JSON lacks become null."""
    if isinstance(content, dict):
        return {key: _plain(entry) for key, entry in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(entry) for entry in content]
    if isinstance(content, float) and not abs(content) < float("inf"):
        return None
    return content


def _setting(
    claim: Claim,
    problem: str,
    sampling: str,
    gamma: str | None,
    rho: str | None,
    lam: str | None,
    x0: str | None,
    method: str | None,
) -> Setting:
    """The setting of `check`, step sizes 0 where they are left open."""
    from problems.problem import problems
    from theory.families import method_of, read_start
    from theory.samplings import samplings
    from theory.schedules import read_schedule
    from theory.setting import make_setting

    rule = method_of(claim, method)
    if not rule.uses_rho and rho is not None:
        raise InputError(f"rho is not used by {rule.name}, got {rho!r}; leave it out")
    if lam is not None and rule.family != "unified-sam":
        raise InputError(f"lam is not used by {rule.name}, got {lam!r}; leave it out")
    if rule.uses_rho and (gamma is None) != (rho is None):
        given, missing = ("gamma", "rho") if rho is None else ("rho", "gamma")
        raise InputError(f"{given} is given but {missing} is not; give both, or neither to have them chosen")
    steps = [read_schedule(text or "0", argument=name) for name, text in (("gamma", gamma), ("rho", rho))]
    if gamma is not None and not steps[0].largest > 0:
        raise InputError(f"gamma must be positive, got {gamma!r}")
    made = problems.build(problem)
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
        typer.Option("--scale", help="NAME=FACTOR on a named constant: rate=2 strengthens, step_limit=2 relaxes."),
    ] = None,
    seed: Seed = "0",
    plugin: Plugin = None,
    json_file: JsonFile = None,
    figure: Annotated[str | None, typer.Option(help="Draw measured and bound to .svg, .png or .pdf.")] = None,
) -> int:
    """Check one claim on one problem: constants, hypotheses, the run against the bound, a verdict."""
    from .files import check_target, write_whole

    _load(plugin)
    factors = _factors(scale)

    first = _count(seed, "seed", least=0)
    horizon = _count(steps, "steps") if steps is not None else None
    json_target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None
    figure_target = check_target(figure, argument="figure", endings=(".svg", ".png", ".pdf")) if figure else None

    from theory.claim import claims

    claim = claims[claim_id]
    setting = _setting(claim, problem, sampling, gamma, rho, lam, x0, method)

    from experiments.engine.run import Progress
    from experiments.report.tables import constants_table, curve_table, hypotheses_table, styled
    from experiments.verify.check import prepare, run_check

    from .progress import reporting, watching

    console = _console()
    prepared = prepare(claim, setting, steps=horizon, scale=factors)
    console.print(f"{claim.id}: {claim.title}", highlight=False, style="bold")
    console.print(f"source: {claim.source} ({claim.source.provenance.value})", highlight=False)
    for label, text in (
        ("problem", f"{setting.problem.name}, n = {setting.problem.n}, d = {setting.problem.d}"),
        *(("", remark) for remark in setting.problem.remarks),
        ("sampling", setting.sampling.name),
        ("method", f"{setting.method.name}" + (f", lam = {prepared.setting.lam}" if setting.method.uses_rho else "")),
        ("steps", _steps_line(prepared.setting, prepared.chosen, prepared.steps)),
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
        _write_json(json_target, result.as_json())
    if figure_target is not None:
        from experiments.report.figure import check_figure

        drawn = check_figure(result)
        kind = figure_target.suffix[1:]
        write_whole(figure_target, lambda stream: drawn.savefig(stream, format=kind, dpi=150, bbox_inches="tight"))

    from experiments.verify.verdict import AGREES, Verdict

    return AGREE if result.verdict in AGREES else VIOLATED if result.verdict is Verdict.VIOLATED else INCONCLUSIVE


def _factors(texts: list[str] | None) -> dict[str, float]:
    """NAME=FACTOR, several times."""
    from problems.problem import check_nonnegative
    from problems.spec import read_float

    factors = {}
    for text in texts or []:
        name, equals, number = text.partition("=")
        if not equals or not name:
            raise InputError(f"scale must be NAME=FACTOR, got {text!r}; write --scale rate=2")
        factors[name] = check_nonnegative(read_float(number, argument="scale"), argument="scale")
    return factors


@app.command(epilog="Examples:  ravine search sgd/pl   |   ravine search unified-sam/pl-constant --constant rate")
def search(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="A claim's id.")],
    constant: Annotated[
        list[str] | None, typer.Option(help="A named constant, as often as you like; default all of them.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Instances to try for each constant.")] = "20000",
    seed: Seed = "0",
    corpus: Annotated[
        str | None, typer.Option(help="Folder for finds sharper than its own; default the catalogue's.")
    ] = None,
    plugin: Plugin = None,
    json_file: JsonFile = None,
) -> int:
    """Search for the instance that leaves a claim's constants the least room. Exit 1 if one breaks the claim."""
    from .files import check_target

    _load(plugin)
    evaluations, first = _count(budget, "budget"), _count(seed, "seed", least=0)
    json_target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from theory.claim import Kind, claims

    claim = claims[claim_id]
    if claim.kind is Kind.EXACT:
        raise InputError(f"{claim_id} is an equality, nothing in it can be stronger; ravine check compares its digits")
    if not claim.searchable:
        raise InputError(
            f"{claim_id} is measured by its own trials, which search does not move through; use ravine check"
        )
    names = constant or list(claim.named_constants)
    for name in names:
        if name not in claim.named_constants:
            raise InputError(f"constant {name!r} is none of {claim_id}; it has {', '.join(claim.named_constants)}")

    from experiments.verify.corpus import FOLDER
    from experiments.verify.search import search as run_search
    from experiments.verify.sharpness import reading

    from .progress import reporting

    folder = Path(corpus) if corpus is not None else FOLDER
    if corpus is not None and not folder.is_dir():
        raise InputError(f"corpus must name a folder that exists, got {corpus!r}")
    violated, found = False, []
    for number, name in enumerate(names):
        with reporting(f"search {name}") as reporter:
            reporter.expect(float(evaluations))
            started = time.perf_counter()
            find = run_search(
                claim, name, budget=evaluations, seed=first, on_evaluation=lambda spent, best: reporter.show(spent)
            )
        seconds = time.perf_counter() - started
        if find is None:
            print(f"{name}: no admissible instance says anything about it ({evaluations} tried, {seconds:.0f} s)")
            continue
        violated |= find.violated
        kept = _keep(find, folder, evaluations, first)
        found.append({**find.as_json(), "kept": kept})
        print(f"{name} {find.scale.sharpest:.6g}: {reading(name, find.scale.sharpest, up=find.scale.up)}")
        print(f"  by {find.route}, evaluation {find.evaluations} of {evaluations} ({find.space}), {seconds:.0f} s")
        print(f"  {claims.replay_command(claim_id, find.replay)}")
        print(f"  {kept}", flush=number == len(names) - 1)
    if json_target is not None:
        _write_json(json_target, {"id": claim_id, "budget": evaluations, "seed": first, "finds": found})
    if not violated:
        return AGREE
    refuted = claim.kind is Kind.REFUTED
    print(f"{claim_id}: {'refuted, as it should be' if refuted else 'violated'} by an instance found here")
    return AGREE if refuted else VIOLATED


def _keep(find: Find, folder: Path, budget: int, seed: int) -> str:
    """Store a find that is sharper than what the corpus has; say what was done."""
    from experiments.verify.corpus import as_text, corpus_file, entries, sharper, with_entry

    from .files import write_whole

    known = entries(find.claim, folder)
    entry = find.entry(f"search of {budget} evaluations, seed {seed}, {find.space}")
    file = corpus_file(find.claim, folder)
    if not sharper(entry, known):
        return "not sharper than what the corpus has"
    if not os.access(folder, os.W_OK):
        return f"not kept: {folder} cannot be written; name a folder with --corpus"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda stream: stream.write(as_text(with_entry(entry, known)).encode()))
    return f"kept in {file}"


def _steps_line(setting: Setting, chosen: bool, steps: int) -> str:
    sizes = f"gamma = {setting.gamma}" + (f", rho = {setting.rho}" if setting.method.uses_rho else "")
    return f"{steps}, {sizes}" + (" (chosen where the bound falls soonest)" if chosen else "")


def _admissible(claim: Claim, prepared: Any) -> str:
    """The limits that the hypotheses set on gamma and rho."""
    limits = [
        f"{finding.hypothesis} {finding.relation} {finding.limit:.6g}"
        for finding in prepared.findings
        if finding.hypothesis in ("gamma", "rho", "theta", "1 - b", "B theta") and finding.relation in ("<", "<=")
    ]
    return ", ".join(limits) or "see the hypotheses"


@app.command(
    epilog="Example:  ravine run --problem quadratic:d=50,mu=0.1,L=1,seed=3 --method unified-sam:lam=0.5 "
    "--gamma 0.5 --rho 0.1 --steps 200000 --replicates 1 --seed 0 --out x.npz"
)
def run(
    problem: ProblemSpec,
    method: Annotated[str, typer.Option(help="sgd, sam, usam or unified-sam:lam=0.5.")],
    steps: Annotated[str, typer.Option(help="Number of steps.")],
    out: Annotated[str, typer.Option(help="Write here: .npz (t, gap, grad_norm2, x) or .csv (means, errors).")],
    sampling: SamplingSpec = "full",
    gamma: Annotated[str | None, typer.Option(help="Step size, a number or a schedule; default 1/(4 L).")] = None,
    rho: Annotated[str, typer.Option(help="Radius, a number or a schedule.")] = "0",
    x0: Annotated[
        str | None, typer.Option(help="start, zeros, random, scaled:FACTOR, FILE.npy or numbers as 1/2/3.")
    ] = None,
    times: Annotated[str | None, typer.Option(help="Record times, e.g. 0,10,100; default 0, T and 60 between.")] = None,
    replicates: Annotated[str, typer.Option(help="Independent runs.")] = "1",
    seed: Seed = "0",
    jobs: Jobs = None,
    plugin: Plugin = None,
) -> int:
    """Run a method on a problem and write what was recorded."""
    from .files import check_target

    _load(plugin)

    target = check_target(out, argument="out", endings=(".npz", ".csv"))
    horizon, copies = _count(steps, "steps"), _count(replicates, "replicates")
    first, threads = _count(seed, "seed", least=0), _jobs(jobs)

    import numpy as np

    from problems.problem import problems
    from theory.families import read_start
    from theory.methods.method import methods
    from theory.samplings import largest_smoothness, samplings
    from theory.schedules import constant, read_schedule
    from theory.setting import make_setting

    made = problems.build(problem)
    drawn = samplings.build(sampling, problem=made)
    step = read_schedule(gamma, argument="gamma") if gamma is not None else None
    if step is None:
        step = constant(0.25 / max(made.L.value, largest_smoothness(made, drawn).value))
    setting = make_setting(
        made,
        sampling=drawn,
        method=methods.build(method),
        gamma=step,
        rho=read_schedule(rho, argument="rho"),
        x0=read_start(x0, made),
    )
    wanted = None
    if times is not None:
        wanted = np.unique([_count(entry, "times", least=0) for entry in times.split(",")]).astype(np.int64)
        if wanted[-1] > horizon:
            raise InputError(f"times must lie in 0..{horizon}, got {wanted[-1]}")

    from experiments.engine.run import Progress, simulate

    from .progress import reporting, watching

    progress = Progress()
    with reporting("run") as reporter:
        reporter.expect(float(horizon * copies))
        with watching(reporter, lambda: float(progress.steps)):
            try:
                result = simulate(
                    setting,
                    steps=horizon,
                    times=wanted,
                    replicates=copies,
                    seed=first,
                    threads=threads,
                    progress=progress,
                )
            except KeyboardInterrupt:
                progress.stop()
                raise
    _write_run(target, result)
    console = _console()
    console.print(str(setting), highlight=False, markup=False, soft_wrap=True)
    place = "the SPEC given" if x0 else "a seeded point" if setting.x0.any() else "the origin"
    finished = result.gap[np.isfinite(result.gap[:, -1]), -1]
    end = f"{finished.mean():.10g}" if len(finished) else "nothing recorded"
    console.print(f"start: {place}, gap {result.gap[0, 0]:.10g}; at step {horizon}: {end}", highlight=False)
    for index in np.flatnonzero(result.diverged >= 0)[:5]:
        console.print(f"replicate {index} diverged at step {result.diverged[index]}", highlight=False)
    console.print(f"wrote {target}", highlight=False, markup=False)
    return AGREE


def _write_run(target: Path, result: Any) -> None:
    import csv
    import io

    import numpy as np

    from .files import write_whole

    if target.suffix == ".npz":
        arrays = {
            "t": result.times,
            "gap": result.gap,
            "grad_norm2": result.grad_norm2,
            "x": result.x,
            "diverged": result.diverged,
        }
        write_whole(target, lambda stream: np.savez(stream, **arrays))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["t", "gap_mean", "gap_se", "grad_norm2_mean", "grad_norm2_se"])
    for k, t in enumerate(result.times):
        row: list[float | int] = [int(t)]
        for values in (result.gap[:, k], result.grad_norm2[:, k]):
            error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
            row += [float(values.mean()), error]
        writer.writerow(row)
    write_whole(target, lambda stream: stream.write(text.getvalue().encode()))


@app.command(epilog="Example:  ravine doctor")
def doctor() -> int:
    """Say what this installation has, and whether it works."""
    from .doctor import examine

    console = _console()
    healthy = True
    for name, text, good in examine():
        healthy = healthy and good
        console.print(f"{'ok ' if good else 'BAD'}  {name:<18}{text}", highlight=False, markup=False, soft_wrap=True)
    return AGREE if healthy else VIOLATED


@bench_app.command("engine", epilog="Example:  ravine bench engine --json engine.json")
def bench_engine(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter runs, wider spread.")] = False,
    json_file: JsonFile = None,
) -> int:
    """Steps per second of the engine on W1, W2, W3 beside a hand-written loop and vectorised NumPy."""
    from .files import check_target

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from experiments.bench.engine import bench_engine as measure
    from experiments.bench.engine import table

    rows = measure(quick=quick, on_row=lambda row: print(f"measured {row.workload}", file=sys.stderr))
    _console().print(table(rows))
    if target is not None:
        _write_json(target, {"version": __version__, "rows": [row.as_json() for row in rows]})
    return AGREE
