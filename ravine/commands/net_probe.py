"""ravine net probe."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, Seed, open_console, read_count, write_json
from ravine.commands.net import net_app
from ravine.version import __version__

if TYPE_CHECKING:
    from experiments.net.probe import Edge, Probe, Quantity
    from experiments.net.probe_point import Point

FORMAT = "ravine net probe 1"
"""Of the JSON file; the number rises when something in it is renamed or means something else."""

LIBRARIES = ("torch", "curvlinops-for-pytorch", "numpy", "scipy")


@net_app.command(
    "probe",
    epilog="Examples:  ravine net probe --model mlp --data digits --checkpoint run.pt --figure density.png   |   "
    "ravine net probe --model mlp --data digits --gamma 0.1 --json start.json   |   "
    "ravine net probe --model resnet18 --data cifar10:folder=DIR --checkpoint run.pt --examples 2000 --chunk 256 "
    "--dtype float32 --top 5",
)
def net_probe(
    model: Annotated[str, typer.Option(help="As in net train; with a checkpoint the SPEC of its run.")],
    data: Annotated[str, typer.Option(help="As in net train; with a checkpoint the SPEC of its run.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="The .pt file of net train; without one the network that a run begins with.")
    ] = None,
    rho: Annotated[
        str | None, typer.Option(help="Radius of sharpness and edges, >= 0; default the run's, else 0.05.")
    ] = None,
    gamma: Annotated[str | None, typer.Option(help="Step size of the edges; default the run's at its end.")] = None,
    examples: Annotated[
        str | None, typer.Option(help="Look at so many training examples, drawn with the seed; default all.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Examples a step, for the gradient noise; default the run's, else 64.")
    ] = None,
    top: Annotated[str, typer.Option(help="Eigenpairs of the Hessian.")] = "3",
    loss: Annotated[str | None, typer.Option(help="cross-entropy or squared; default the run's.")] = None,
    seed: Seed = "0",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; default a GPU if there is one.")] = None,
    dtype: Annotated[
        str, typer.Option(help="float64 or float32; differences of f in small balls need the first.")
    ] = "float64",
    threads: Annotated[str | None, typer.Option(help="CPU threads; their number changes bits.")] = None,
    chunk: Annotated[str, typer.Option(help="Examples that go through the network at once.")] = "4096",
    json_file: Annotated[str | None, typer.Option("--json", "--out", help="Write the result to this .json file.")] = (
        None
    ),
    figure: Annotated[
        str | None, typer.Option(help="Draw the spectral density with the edges to .png, .svg or .pdf.")
    ] = None,
) -> int:
    """Measure a network where it stands: curvature, gradient noise, sharpness, and the edges of the methods.

    In evaluation mode, without weight decay. Every constant is an estimate: it bounds nothing at other points.
    """
    from experiments.net import require_torch
    from problems.problem import check_nonnegative, check_positive
    from problems.spec import read_float
    from ravine.commit import commit
    from ravine.files import check_target, write_whole

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file is not None else None
    picture = check_target(figure, argument="figure", endings=(".png", ".svg", ".pdf")) if figure is not None else None
    radius = None if rho is None else check_nonnegative(read_float(rho, argument="rho"), argument="rho")
    step = None if gamma is None else check_positive(read_float(gamma, argument="gamma"), argument="gamma")
    counts = {
        name: None if text is None else read_count(text, name)
        for name, text in {"examples": examples, "batch": batch, "threads": threads}.items()
    }
    pairs, size, first = read_count(top, "top"), read_count(chunk, "chunk"), read_count(seed, "seed", least=0)
    require_torch()

    import torch

    from experiments.net.device import exactly
    from experiments.net.parallel import ALONE
    from experiments.net.probe import PARTS, probe
    from experiments.net.probe_point import load_point
    from experiments.net.train import MOST_THREADS, faults_named
    from ravine.progress import reporting

    if counts["threads"] is not None and counts["threads"] > MOST_THREADS:
        raise InputError(f"threads must be at most {MOST_THREADS}, got {counts['threads']}")
    source = None if checkpoint is None else Path(checkpoint)
    started = time.perf_counter()
    with exactly(counts["threads"]), faults_named(model, ALONE), reporting("net probe") as reporter:
        reporter.expect(len(PARTS))
        point = load_point(
            model, data, checkpoint=source, examples=counts["examples"], loss=loss, seed=first, dtype=dtype,
            device=device, chunk=size,
        )  # fmt: skip
        found = probe(
            point, rho=radius, gamma=step, batch=counts["batch"], top=pairs, seed=first,
            on_part=lambda part: reporter.show(PARTS.index(part), part),
        )  # fmt: skip
        used = torch.get_num_threads()
    seconds = time.perf_counter() - started
    if picture is not None and found.density is None:
        raise InputError("figure needs a Hessian with two distinct eigenvalues at least; here it has one, leave it out")
    if target is not None:
        content = {
            "format": FORMAT, "version": __version__, "commit": commit(),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
            "seconds": seconds, "device": point.objective.start.device.type, "threads": used,
            "point": _about(point, model, checkpoint, dtype), "seed": first, **found.as_json(),
        }  # fmt: skip
        write_json(target, content)
    if picture is not None and found.density is not None:
        from experiments.net.probe_figure import density_figure
        from experiments.report.style import styled

        with styled():
            drawn = density_figure(found.density, found, f"{model} on {point.data}\n{_where(point, checkpoint)}")
            write_whole(picture, lambda stream: drawn.savefig(stream, format=picture.suffix[1:], bbox_inches="tight"))
    console = open_console()
    for line in _lines(found, point, model, checkpoint, dtype):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    written = [str(path) for path in (target, picture) if path is not None]
    console.print(
        f"seed {first}, threads {used}, {seconds:.1f} s" + (f"; wrote {' and '.join(written)}" if written else ""),
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    return AGREE


def _about(point: Point, model: str, checkpoint: str | None, dtype: str) -> dict[str, Any]:
    run = point.trained
    return {
        "model": model, "data": point.data, "parameters": point.objective.d, "examples": point.objective.n,
        "of_examples": point.available, "loss": point.objective.loss, "dtype": dtype,
        "checkpoint": None if run is None else {"file": checkpoint, **run._asdict()},
    }  # fmt: skip


def _where(point: Point, checkpoint: str | None) -> str:
    run = point.trained
    return "untrained" if run is None else f"{checkpoint}, {run.method}, epoch {run.epoch}"


def _lines(found: Probe, point: Point, model: str, checkpoint: str | None, dtype: str) -> Iterator[str]:
    objective, run = point.objective, point.trained
    yield (
        f"{model}, {objective.d} parameters, on {point.data}, {objective.n} of {point.available} training examples, "
        f"loss {objective.loss}, {dtype}, {objective.start.device}"
    )
    if run is None:
        yield "no checkpoint: the freshly initialised network of this seed, not a trained one"
    else:
        yield (
            f"{checkpoint}: epoch {run.epoch}, step {run.step}, {run.method}, last gamma {run.gamma:g}, "
            f"rho {run.rho:g}, batch {run.batch}"
        )
    yield f"measured with rho {found.rho:g}, {found.sampling}"
    yield ""
    yield f"{'quantity':<18} {'value':>12}  {'error':<24} how"
    for name, quantity in found.quantities.items():
        yield f"{name:<18} {_number(quantity.value):>12}  {_error(quantity):<24} {quantity.how}"
    yield "Every constant is an estimate, made at or about this one point: it bounds nothing elsewhere."
    yield "Loss, gradient, noise at the point and gap_one_step are exact for these examples, up to rounding."
    if found.covering is not None:
        A, B, C = (f"{getattr(found.covering, name):.4g}" for name in "ABC")
        yield f"The tightest that hold at all points of the fit: A = {A}, B = {B}, C = {C}"
    yield ""
    yield from _edge_lines(found.edges, found, point)


def _number(value: float) -> str:
    return f"{value:.6g}" if value == value else "-"


def _error(quantity: Quantity) -> str:
    if quantity.residual is not None:
        return f"residual {quantity.residual:.1e}"
    if quantity.standard_error is not None:
        return f"standard error {quantity.standard_error:.2g}"
    if quantity.interval is not None:
        return f"[{quantity.interval[0]:.4g}, {quantity.interval[1]:.4g}]"
    return "-"


def _edge_lines(edges: tuple[Edge, ...], found: Probe, point: Point) -> Iterator[str]:
    if not edges:
        why = "give --gamma" if point.trained is None else "the last step of the run had gamma 0; give --gamma"
        yield f"edges: no step size; {why}"
        return
    yield f"{'edge of':<18} {'curvature':>12}  {'lambda_1 over it':<24} from"
    for edge in edges:
        own = " (the method of the run)" if point.trained is not None and edge.method == point.trained.method else ""
        yield f"{edge.method:<18} {_number(edge.value):>12}  {_number(edge.ratio):<24} {edge.claim}, {edge.at}{own}"
    yield f"For full-batch steps with gamma {found.gamma:g}, rho {found.rho:g} on a quadratic."
    run = point.trained
    if run is not None and run.optimiser != "sgd":
        yield f"The run took its steps with {run.optimiser}, which moves the edges; these are those of plain steps."
    if run is not None and run.weight_decay:
        yield f"Its weight decay {run.weight_decay:g} is not in H; it adds as much to every eigenvalue."
