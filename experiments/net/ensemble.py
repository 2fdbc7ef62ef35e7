"""Many networks of one architecture in one batched program: seeds, or a sweep over step sizes, radii and mixings.

The parameters stand as rows of a matrix (S, d) and torch.func.vmap maps the objective over them, so that a step of
S networks launches as many operations as a step of one. Every network has its own start, its own samples, drawn from
its own stream as the compiled engine draws them, and its own gamma, rho, lam and alpha; none depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import vmap

from problems.errors import InputError
from problems.problem import check_count
from theory.methods.gsam import GSAM
from theory.methods.method import Method, methods
from theory.methods.multistep import MultiStepSAM
from theory.samplings import Sampling, full
from theory.schedules import Schedule, read_schedule

from .batches import draw_batches
from .lanczos import largest_eigenvalue
from .objective import Objective
from .rules import Gradient, rule_of
from .seeds import seeded

Spec = float | str | Schedule

TABLE = 1 << 24
"""Entries of the tables of samples drawn at once, over steps, networks and examples."""


@dataclass(frozen=True)
class Curves:
    """What S networks did, at K recorded times.

    times (K,). loss, gradient_norm (S, K): f and ||grad f||, both on all data. top, top_residual (S, K): the largest
    Hessian eigenvalue and its error bound, or no columns. component (S, K): <x_t - x_ref, v>, or no columns. x (S, d):
    the last iterates. diverged (S,): the step at which a sampled gradient was not finite, or `steps` where only the
    last iterate is not; -1 for none. Records from there on are NaN. On the host, float64 but for x.
    """

    times: NDArray[np.int64]
    loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    top: NDArray[np.float64]
    top_residual: NDArray[np.float64]
    component: NDArray[np.float64]
    x: Tensor
    diverged: NDArray[np.int64]


def starts(build: Callable[[], nn.Module], seeds: Sequence[int]) -> Tensor:
    """The initial parameters of networks built on the CPU under these seeds, (S, d); no other random stream moves."""
    rows = []
    for seed in seeds:
        with seeded(check_count(seed, argument="seeds", least=0)):
            model = build()
        rows.append(torch.cat([p.detach().reshape(-1) for p in model.parameters() if p.requires_grad]))
    return torch.stack(rows)


def train(
    objective: Objective,
    x0: Tensor,
    *,
    steps: int,
    gamma: Spec | Sequence[Spec],
    rho: Spec | Sequence[Spec] = 0.0,
    lam: Spec | Sequence[Spec] | None = None,
    alpha: float | Sequence[float] | None = None,
    method: Method | str = "sgd",
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
    replicates: Sequence[int] | None = None,
    times: ArrayLike | None = None,
    top_steps: int = 0,
    reference: Tensor | None = None,
    direction: Tensor | None = None,
    chunk: int | None = None,
) -> Curves:
    """Train S networks from the rows of x0 (S, d) with one method.

    gamma, rho, lam, alpha: one for all or one for each network; all but alpha may be schedules. lam and alpha default
    to the method's own. sampling: default the full batch. seeds, replicates (S): the stream of each network's samples;
    default seed 0 and replicates 0, ..., S - 1, as `simulate` numbers its copies. times: when to record, sorted within
    0..steps; default 0, `steps` and up to 60 between, evenly spaced. top_steps > 0: record the largest Hessian
    eigenvalue by so many Lanczos steps, started from the last one's vector. reference, direction: (d,) or (S, d), of
    the recorded component, which needs both. chunk: networks at once, which bounds the memory; default all.
    Raises InputError for shapes, values or samplings that do not fit.
    """
    chosen = methods.build(method) if isinstance(method, str) else method
    rule = rule_of(chosen)
    x = _starts(objective, x0)
    S = len(x)
    T = check_count(steps, argument="steps")
    drawn = full(objective.n) if sampling is None else sampling
    if drawn.n != objective.n:
        raise InputError(f"sampling must be of n = {objective.n} examples, got {drawn.n}")
    gammas = _schedules(gamma, S, argument="gamma")
    radii = _schedules(rho, S, argument="rho")
    mixings = _schedules(chosen.lam if lam is None else lam, S, argument="lam", high=1.0)
    weight = _alphas(chosen, alpha, S, x)
    streams = _numbers(seeds, [0] * S, argument="seeds"), _numbers(replicates, range(S), argument="replicates")
    at = _times(times, T)
    size = S if chunk is None else check_count(chunk, argument="chunk")
    if (reference is None) != (direction is None):
        raise InputError("reference and direction must be given both or neither, got one of them")
    record = _Recorder(objective, S, len(at), size, check_count(top_steps, argument="top_steps", least=0))
    if reference is not None and direction is not None:
        record.along(_rows(reference, x, argument="reference"), _rows(direction, x, argument="direction"))

    diverged = torch.full((S,), -1, dtype=torch.int64, device=x.device)
    whole = _mapped(objective.gradient, size)
    for first, last, part in drawn.stages(T):
        block = max(1, min(1024, TABLE // (S * objective.n)))
        for start in range(first, last, block):
            end = min(start + block, last)
            values = [_table(kind, start, end, x) for kind in (gammas, radii, mixings)]
            batch = None
            if not part.is_full:
                found = draw_batches(part, seeds=streams[0], replicates=streams[1], first=start, last=end)
                batch = torch.as_tensor(found.indices).to(x.device), torch.as_tensor(found.weights).to(x)
            for t in range(start, end):
                record(at, t, x, diverged)
                k = t - start
                gradient: Gradient = whole
                if batch is not None:
                    gradient = _sampled(objective, batch[0][:, k], batch[1][:, k], size)
                x, norm2 = rule(gradient, x, gamma=values[0][k], rho=values[1][k], lam=values[2][k], alpha=weight)
                diverged = torch.where((diverged < 0) & ~torch.isfinite(norm2), t, diverged)
    diverged = torch.where((diverged < 0) & ~torch.isfinite(x).all(dim=1), T, diverged)
    record(at, T, x, diverged)
    return record.curves(at, x, diverged)


def _mapped(function: Callable[..., Tensor], chunk: int) -> Callable[..., Tensor]:
    """The function of one network over rows, `chunk` of them at once."""
    mapped: Callable[..., Tensor] = vmap(function, chunk_size=chunk)
    return mapped


def _sampled(objective: Objective, indices: Tensor, weights: Tensor, chunk: int) -> Gradient:
    """Row k's gradient on row k's sample, which stays the same within a step."""
    mapped = _mapped(objective.minibatch_gradient, chunk)
    return lambda x: mapped(x, indices, weights)


class _Recorder:
    """Keeps the records on the device: a step shall not wait for the host."""

    def __init__(self, objective: Objective, S: int, K: int, chunk: int, top_steps: int) -> None:
        self.objective, self.chunk, self.top_steps = objective, chunk, top_steps
        self.found: dict[str, list[Tensor]] = {
            name: [] for name in ("loss", "gradient_norm", "top", "top_residual", "component")
        }
        self.shape = S, K
        self.done = 0
        self.vector: Tensor | None = None
        self.reference: Tensor | None = None
        self.direction: Tensor | None = None

    def along(self, reference: Tensor, direction: Tensor) -> None:
        self.reference, self.direction = reference, direction

    def __call__(self, at: NDArray[np.int64], t: int, x: Tensor, diverged: Tensor) -> None:
        """Record x at t as often as t stands in `at`."""
        count = int((at == t).sum())
        if count == 0:
            return
        objective, chunk = self.objective, self.chunk
        now = {
            "loss": _mapped(objective.value, chunk)(x),
            "gradient_norm": _mapped(objective.gradient, chunk)(x).norm(dim=1),
        }
        if self.top_steps:
            now["top"], now["top_residual"] = self._top(x)
        if self.direction is not None and self.reference is not None:
            now["component"] = ((x - self.reference) * self.direction).sum(dim=1)
        for name, value in now.items():
            self.found[name] += [torch.where(diverged >= 0, torch.nan, value.double())] * count

    def _top(self, x: Tensor) -> tuple[Tensor, Tensor]:
        product = _mapped(self.objective.hessian_vector, self.chunk)
        generator = torch.Generator().manual_seed(0)
        # The same for every network, so that none depends on how many stand beside it.
        kick = torch.randn(x.shape[1], generator=generator, dtype=torch.float64).to(x)
        kick = (kick / kick.norm()).expand_as(x)
        # An eigenvector of the past may be one of today that is no longer the top one: a part of something else stays.
        start = kick if self.vector is None else self.vector + 0.1 * kick
        found = largest_eigenvalue(lambda v: product(x, v), start, steps=min(self.top_steps, x.shape[1]))
        self.vector = found.vectors
        return found.values, found.residuals

    def curves(self, at: NDArray[np.int64], x: Tensor, diverged: Tensor) -> Curves:
        S, _ = self.shape
        columns = {
            name: torch.stack(rows, dim=1).cpu().numpy() if rows else np.empty((S, 0))
            for name, rows in self.found.items()
        }
        return Curves(times=at, x=x, diverged=diverged.cpu().numpy(), **columns)


# -- what a caller gives --


def _starts(objective: Objective, x0: Tensor) -> Tensor:
    if x0.ndim != 2 or x0.shape[1] != objective.d or len(x0) == 0:
        raise InputError(f"x0 must have shape (S, {objective.d}), a row for each network, got {tuple(x0.shape)}")
    if not bool(torch.isfinite(x0).all()):
        raise InputError("x0 holds NaN or infinite entries; only finite numbers are allowed")
    return x0.detach().to(objective.start).clone()


def _schedules(given: Spec | Sequence[Spec], S: int, *, argument: str, high: float | None = None) -> list[Schedule]:
    """One schedule, or one for each network."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    specs: Sequence[Spec] = given if several else [given]  # type: ignore[assignment,list-item]
    if several and len(specs) != S:
        raise InputError(f"{argument} must be one for all or one for each of the {S} networks, got {len(specs)}")
    return [read_schedule(spec, argument=argument, high=high) for spec in specs]


def _table(kinds: list[Schedule], first: int, last: int, like: Tensor) -> Tensor:
    """The values at steps first, ..., last - 1, shape (steps, S) or (steps, 1)."""
    t = np.arange(first, last)
    return torch.as_tensor(np.stack([np.broadcast_to(kind.at(t), t.shape) for kind in kinds], axis=1)).to(like)


def _alphas(method: Method, alpha: float | Sequence[float] | None, S: int, like: Tensor) -> Tensor | None:
    """The method's own alpha, or what is given in its place, () or (S,); None for a method that reads none."""
    data = method.data
    lookbehind = isinstance(data, MultiStepSAM) and data.descent == 3
    if not (lookbehind or isinstance(data, GSAM)):
        if alpha is not None:
            raise InputError(f"alpha is not read by method {method.name!r}; leave it out, got {alpha!r}")
        return None
    values: Tensor = torch.as_tensor(data.alpha if alpha is None else alpha, dtype=torch.float64)
    if values.shape not in ((), (S,)) or not bool(torch.isfinite(values).all()):
        raise InputError(f"alpha must be one finite number, or one for each of the {S} networks, got {alpha!r}")
    if lookbehind and not bool(((values > 0) & (values <= 1)).all()):
        raise InputError(f"alpha of method 'multi-sam' must be in (0, 1], got {alpha!r}")
    return values.to(like)


def _numbers(given: Sequence[int] | None, default: Sequence[int], *, argument: str) -> NDArray[np.int64]:
    if given is None:
        return np.array(default, dtype=np.int64)
    if len(given) != len(default):
        raise InputError(f"{argument} must be one for each of the {len(default)} networks, got {len(given)}")
    return np.array([check_count(number, argument=argument, least=0) for number in given], dtype=np.int64)


def _times(times: ArrayLike | None, steps: int) -> NDArray[np.int64]:
    if times is None:
        return np.unique(np.linspace(0, steps, 62).round().astype(np.int64))
    given = np.asarray(times)
    whole = given.astype(np.int64) if given.dtype.kind in "iuf" else np.zeros(0, dtype=np.int64)
    if given.ndim != 1 or len(whole) == 0 or (whole != given).any():
        raise InputError(f"times must be whole numbers, at least one, in one dimension, got {times!r}")
    if whole.min() < 0 or whole.max() > steps or (np.diff(whole) < 0).any():
        raise InputError(f"times must be sorted and lie in 0..{steps}, got {whole[:3].tolist()}...")
    return whole


def _rows(given: Tensor, x: Tensor, *, argument: str) -> Tensor:
    if given.shape not in (x.shape, x.shape[1:]) or not bool(torch.isfinite(given).all()):
        raise InputError(
            f"{argument} must be finite, of shape ({x.shape[1]},) or {tuple(x.shape)}, got shape {tuple(given.shape)}"
        )
    return given.detach().to(x)
