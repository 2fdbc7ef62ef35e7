"""ravine run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import (
    AGREE,
    Jobs,
    Plugin,
    ProblemSpec,
    SamplingSpec,
    Seed,
    app,
    load,
    open_console,
    read_count,
    read_jobs,
)

if TYPE_CHECKING:
    pass


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
    tier: Annotated[
        str, typer.Option(help="auto, fast or textbook: the fast tier where there is one; they differ by rounding.")
    ] = "auto",
    jobs: Jobs = None,
    plugin: Plugin = None,
) -> int:
    """Run a method on a problem and write what was recorded."""
    from ravine.files import check_target

    load(plugin)

    target = check_target(out, argument="out", endings=(".npz", ".csv"))
    horizon, copies = read_count(steps, "steps"), read_count(replicates, "replicates")
    first, threads = read_count(seed, "seed", least=0), read_jobs(jobs)

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
        wanted = np.unique([read_count(entry, "times", least=0) for entry in times.split(",")]).astype(np.int64)
        if wanted[-1] > horizon:
            raise InputError(f"times must lie in 0..{horizon}, got {wanted[-1]}")

    from experiments.engine.run import Progress, simulate
    from ravine.progress import reporting, watching

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
                    tier=tier,
                )
            except KeyboardInterrupt:
                progress.stop()
                raise
    _write_run(target, result)
    console = open_console()
    console.print(str(setting), highlight=False, markup=False, soft_wrap=True)
    place = "the SPEC given" if x0 else "a seeded point" if setting.x0.any() else "the origin"
    finished = result.gap[np.isfinite(result.gap[:, -1]), -1]
    end = f"{finished.mean():.10g}" if len(finished) else "nothing recorded"
    console.print(f"start: {place}, gap {result.gap[0, 0]:.10g}; at step {horizon}: {end}", highlight=False)
    for index in np.flatnonzero(result.diverged >= 0)[:5]:
        console.print(f"replicate {index} diverged at step {result.diverged[index]}", highlight=False)
    for way in dict.fromkeys(result.ways):
        console.print(f"tier {way.value}", highlight=False)
    console.print(f"wrote {target}", highlight=False, markup=False)
    return AGREE


def _write_run(target: Path, result: Any) -> None:
    import csv
    import io

    import numpy as np

    from ravine.files import write_whole

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
