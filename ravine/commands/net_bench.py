"""ravine net bench."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from ravine.commands.common import AGREE, JsonFile, open_console, read_count, write_json
from ravine.commands.net import net_app
from ravine.version import __version__


@net_app.command("bench", epilog="Example:  ravine net bench --json bench.json")
def net_bench(
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default a GPU if there is one.")] = None,
    threads: Annotated[str | None, typer.Option(help="Threads of PyTorch on the CPU; default its own choice.")] = None,
    repeats: Annotated[str, typer.Option(help="Timed repeats of each.")] = "60",
    json_file: JsonFile = None,
) -> int:
    """Time a step of each method in steps of SGD, ensembles in single networks; compare with the engine in float64."""
    from experiments.net import require_torch
    from ravine.commit import commit
    from ravine.files import check_target

    require_torch()
    count = read_count(repeats, "repeats")
    chosen = read_count(threads, "threads") if threads is not None else None
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    import torch

    from experiments.net.bench import step_ratios
    from experiments.net.bench_ensemble import ensemble_times, parity
    from experiments.net.device import choose_device

    if chosen is not None:
        torch.set_num_threads(chosen)
    place = choose_device(device)
    console = open_console()
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.processor() or platform.machine()
    console.print(
        f"torch {torch.__version__} on {place.type} ({name}), {torch.get_num_threads()} threads", highlight=False
    )
    ratios = step_ratios(str(place), repeats=count)
    console.print("a step of each method in steps of SGD, 0.94 M parameters, batch 128, float32", highlight=False)
    for method, ratio in ratios.items():
        console.print(f"  {method:<42}{ratio:6.2f}", highlight=False, markup=False)
    members = ensemble_times(str(place), repeats=max(count // 12, 1))
    console.print("a SAM step of many networks of 1,210 parameters in steps of one network", highlight=False)
    for networks, ratio in members.items():
        console.print(f"  {networks:<4} networks {ratio:8.2f}, a member {ratio / networks:.3f}", highlight=False)
    agreement = parity(str(place))
    console.print("largest difference from the compiled engine after 100 steps, float64, relative", highlight=False)
    for method, apart in agreement.items():
        console.print(f"  {method:<42}{apart:9.1e}", highlight=False, markup=False)
    if target is not None:
        content = {
            "version": __version__, "commit": commit(), "torch": torch.__version__, "cuda": torch.version.cuda,
            "device": place.type, "name": name, "threads": torch.get_num_threads(),
            "python": platform.python_version(), "step_over_sgd": ratios,
            "ensemble_over_one": {str(networks): ratio for networks, ratio in members.items()}, "parity": agreement,
        }  # fmt: skip
        write_json(target, content)
    return AGREE
