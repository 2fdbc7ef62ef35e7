"""ravine net train."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, BAD_INPUT, Seed, app, open_console, read_count

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.net.parallel import World
    from experiments.net.train import Run, Training

net_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The same claims on networks, with PyTorch: the extra 'net'."
)
app.add_typer(net_app, name="net")


@net_app.command(
    "train",
    epilog="Examples:  ravine net train --model mlp --data digits --method sam --rho 0.05 --gamma 0.1 --epochs 20 "
    "--out run.csv --checkpoint run.pt --resume   |   "
    "ravine net train --model resnet18 --data cifar10:folder=DIR --method gsam:alpha=0.1 --batch 128 --momentum 0.9 "
    "--gamma cosine:start=0.1,end=0,steps=7820 --out run.csv   |   "
    "ravine net train --model mine.py:build --data mine.npz --batch doubling:start=16,every=400 --out run.csv   |   "
    "torchrun --nproc-per-node 2 -m ravine net train --model mlp --data digits --out run.csv",
)
def net_train(
    model: Annotated[
        str,
        typer.Option(
            help="mlp:width=64,depth=2,activation=tanh|relu|softplus, cnn:width=16, resnet18, or FILE.py:FUNCTION, "
            "which runs that file: FUNCTION(shape of an input, outputs) returns a module."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="digits, breast_cancer, cifar10:folder=DIR, cifar100:folder=DIR,labels=fine|coarse (binary version), "
            "teacher-student:n=,d=,width=,noise=, blobs:n=,d=,classes=,spread=, or FILE.npz with arrays X and y."
        ),
    ],
    out: Annotated[str, typer.Option(help="Write the log here: .csv, a row for each epoch.")],
    method: Annotated[str, typer.Option(help="sgd, sam, usam, unified-sam:lam=, gsam:alpha=, ssam, multi-sam, ...")] = (
        "sam"
    ),
    gamma: Annotated[str, typer.Option(help="Step size, a number or a schedule over steps.")] = "0.1",
    rho: Annotated[str | None, typer.Option(help="Radius, a number or a schedule over steps; default 0.05.")] = None,
    epochs: Annotated[str, typer.Option(help="Passes through the training examples.")] = "20",
    batch: Annotated[
        str | None,
        typer.Option(help="Examples a step: full, a number, or doubling:start=16,every=400 (steps); default 64."),
    ] = None,
    base: Annotated[str, typer.Option(help="sgd, adam or adamw: what takes the step.")] = "sgd",
    momentum: Annotated[str, typer.Option(help="Of base sgd, in [0, 1).")] = "0",
    weight_decay: Annotated[str, typer.Option(help="Of the base, >= 0.")] = "0",
    loss: Annotated[
        str | None, typer.Option(help="cross-entropy or squared; by default what the targets ask for.")
    ] = None,
    seed: Seed = "0",
    checkpoint: Annotated[
        str | None, typer.Option(help="Keep the state of the run in this .pt file, so that a kill loses little.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one; the bits are the same.")
    ] = False,
    every: Annotated[str, typer.Option(help="Seconds between two checkpoints.")] = "10",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; default a GPU if there is one.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    threads: Annotated[str | None, typer.Option(help="CPU threads; their number changes bits.")] = None,
    chunk: Annotated[str, typer.Option(help="Examples that go through the network at once.")] = "1024",
    perturbation: Annotated[
        str, typer.Option(help="Under torchrun: global, or rank (each process its own: m-sharpness).")
    ] = "global",
) -> int:
    """Train a network with a method of the catalogue, on one process or under torchrun."""
    from experiments.net import require_torch
    from problems.spec import read_float
    from ravine.files import check_target

    target = check_target(out, argument="out", endings=(".csv",))
    kept = check_target(checkpoint, argument="checkpoint", endings=(".pt",)) if checkpoint is not None else None
    if resume and kept is None:
        raise InputError("resume needs a checkpoint to go on from, got none; add --checkpoint FILE.pt")
    require_torch()

    from experiments.net.parallel import world_of
    from experiments.net.train import Training

    world = world_of()
    started: list[Run] = []
    try:
        training = Training(
            model=model,
            data=data,
            method=method,
            gamma=gamma,
            rho=rho,
            batch=batch,
            epochs=read_count(epochs, "epochs"),
            base=base,
            momentum=read_float(momentum, argument="momentum"),
            weight_decay=read_float(weight_decay, argument="weight_decay"),
            loss=loss,
            seed=read_count(seed, "seed", least=0),
            dtype=dtype,
            device=device,
            threads=read_count(threads, "threads") if threads is not None else None,
            perturbation=perturbation,
            chunk=read_count(chunk, "chunk"),
        )
        seconds = read_float(every, argument="every")
        run = _train(training, world, target, kept, resume, seconds, on_start=started.append)
    except InputError:
        # Before the first step every process finds the same fault and one says it; later it may be of one alone.
        if not world.leads and not started:
            raise typer.Exit(BAD_INPUT) from None
        raise
    except KeyboardInterrupt:
        if world.leads and kept is not None and kept.exists():
            print(f"ravine: what was kept is in {kept}, --resume takes it up", file=sys.stderr)
        raise
    if world.leads:
        _say(run, target, kept)
    return AGREE


def _train(
    training: Training,
    world: World,
    target: Path,
    kept: Path | None,
    resume: bool,
    every: float,
    on_start: Callable[[Run], None],
) -> Run:
    from experiments.net.train import train
    from ravine.progress import reporting, watching

    with ExitStack() as stack:
        reporter = stack.enter_context(reporting("train")) if world.leads else None

        def show(run: Run) -> None:
            on_start(run)
            if reporter is None:
                return
            reporter.expect(float(run.epochs * run.data.n))
            stack.enter_context(watching(reporter, lambda: float(run.done)))

        return train(training, out=target, checkpoint=kept, resume=resume, every=every, world=world, on_start=show)


def _say(run: Run, target: Path, kept: Path | None) -> None:
    console = open_console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    count = sum(part.numel() for part in run.model.parameters())
    say(
        f"{run.training.model}, {count} parameters, on {run.data.name}, n = {run.data.n}, "
        f"{run.method.name}, gamma {run.gamma}, rho {run.rho}, batch {run.batch}, loss {run.loss}, {run.device}"
    )
    *_, loss, accuracy, test_loss, test_accuracy, gradients, seconds = run.rows[-1]
    for part, value, share in (("training", loss, accuracy), ("test", test_loss, test_accuracy)):
        say(f"{part} loss {value:.6g}" + (f", accuracy {share:.4f}" if share is not None else ""))
    say(f"{run.epoch} epochs, {run.step} steps, {gradients} gradients of examples, {seconds:.1f} s")
    if run.diverged is not None:
        say(f"diverged: the loss is not finite at step {run.diverged}; the log ends there")
    say("wrote " + " and ".join(str(path) for path in (target, kept) if path is not None))
