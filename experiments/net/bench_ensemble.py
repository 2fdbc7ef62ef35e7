"""Many networks in one program: time a member against one network alone; and float64 agreement with the engine."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from experiments.engine.run import simulate
from problems.glm import LeastSquaresProblem
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import make_setting

from .data import load_data
from .device import choose_device
from .ensemble import train
from .measured import NetworkLab, NetworkProblem
from .models import build_model
from .objective import Objective

MEMBERS = (1, 4, 16, 64)

PARITY = (
    "sgd",
    "sam",
    "usam",
    "unified-sam:lam=0.5",
    "gsam:alpha=0.3",
    "ssam:ascent=unnormalised",
    "multi-sam:steps=3",
)


def ensemble_times(device: str | None = None, *, steps: int = 30, repeats: int = 5) -> dict[int, float]:
    """Seconds of a SAM step of so many networks of 1,210 parameters, full batch of 400 digits, over those of one."""
    place = choose_device(device)
    data = load_data("digits", dtype=torch.float32, device=place)
    objective = Objective(build_model("mlp:width=16,depth=1", data), data.inputs[:400], data.targets[:400])
    rows = {count: torch.stack([_start(data, seed) for seed in range(count)]) for count in MEMBERS}
    found: dict[int, list[float]] = {count: [] for count in MEMBERS}
    for repeat in range(repeats + 1):
        for count, x0 in rows.items():
            started = time.perf_counter()
            run = train(objective, x0, steps=steps, gamma=0.1, rho=0.05, method="sam", times=[steps])
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            if repeat > 0 and len(run.times):  # the first one warms up
                found[count].append((time.perf_counter() - started) / steps)
    alone = statistics.median(found[1])
    return {count: statistics.median(times) / alone for count, times in found.items()}


def _start(data: object, seed: int) -> torch.Tensor:
    model = build_model("mlp:width=16,depth=1", data, seed=seed)  # type: ignore[arg-type]
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def parity(device: str | None = None, *, steps: int = 100) -> dict[str, float]:
    """For each method the largest difference of iterates from the compiled engine's on the same draws, relative to the
    largest iterate: ridge regression, 12 examples, tau-nice sampling, float64."""
    place = choose_device(device)
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((12, 3)), rng.standard_normal(12)
    model = torch.nn.Linear(3, 1, bias=False).double().to(place)
    torch.nn.init.zeros_(model.weight)
    inputs, targets = torch.as_tensor(A).to(place), torch.as_tensor(b)[:, None].to(place)
    objective = Objective(model, inputs, targets, loss="squared", reg=0.1)
    sides = NetworkProblem(objective, name="network", L=1.0), LeastSquaresProblem(A=A, b=b, reg=0.1, name="ridge")
    found = {}
    for spec in PARITY:
        rule = methods.build(spec)
        settings = [
            make_setting(
                p, sampling=samplings.build("tau-nice:tau=4", problem=p), method=rule, gamma=0.1,
                rho=0.1 if rule.uses_rho else 0.0,
            )
            for p in sides
        ]  # fmt: skip
        times = np.arange(steps + 1)
        ours = NetworkLab(objective, range(2), seed=3).iterates(settings[0], times)
        theirs = simulate(
            settings[1], steps=steps, times=times, replicates=2, seed=3, iterates=True, tier="textbook"
        ).points
        found[spec] = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return found
