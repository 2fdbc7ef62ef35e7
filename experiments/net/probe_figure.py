"""The figure of a probe: the spectral density, the top eigenvalues, and the edges of the methods."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from experiments.report import style

from .curvature import Density
from .probe import Probe


def density_figure(density: Density, found: Probe, title: str) -> Figure:
    """The spectral density, its top eigenvalues and the edges, on a logarithmic axis. Draw inside `style.styled()`."""
    drawn = Figure(figsize=(style.DOUBLE, 3.2))
    axes = drawn.subplots()
    grid, middle, error = (part.cpu().double().numpy() for part in density[:3])
    # A hundredth of the height of one eigenvalue alone.
    floor = 0.01 / (found.top.vectors.shape[0] * density.width * math.sqrt(2 * math.pi))
    axes.plot(grid, middle, color=style.MEASURED, linewidth=0.9, label="density, by Lanczos quadrature")
    axes.fill_between(
        grid, (middle - 2 * error).clip(floor), (middle + 2 * error).clip(floor), color=style.MEASURED, alpha=0.25,
        linewidth=0, label="2 standard errors",
    )  # fmt: skip
    values = found.top.values.cpu().double().numpy()
    axes.plot(
        values, [floor] * len(values), linestyle="none", marker="^", color=style.INK, markersize=4.5, clip_on=False,
        label=r"$\lambda_1$" + (rf"..$\lambda_{{{len(values)}}}$" if len(values) > 1 else ""),
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(floor, 3 * float((middle + 2 * error).max()))
    looks = [look for role, look in style.ROLES.items() if role != "measured"]
    for number, (edge, look) in enumerate(zip(found.edges, looks, strict=False), start=1):
        axes.axvline(
            edge.value, color=style.COLOURS[number], linestyle=look.dash, linewidth=look.width,
            label=f"edge of {edge.method}: {edge.value:.3g}",
        )  # fmt: skip
    _draw_eigenvalues(axes, grid, [edge.value for edge in found.edges], density.width)
    axes.set(ylabel="spectral density", title=title)
    drawn.legend(loc="outside right upper")
    return drawn


def _draw_eigenvalues(axes: Axes, grid: NDArray[np.float64], edges: list[float], width: float) -> None:
    """The axis of the eigenvalues; logarithmic on both sides of 0 where an edge lies far beyond the spectrum."""
    low, high = float(grid[0]), max([float(grid[-1]), *(1.3 * edge for edge in edges)])
    axes.set_xlabel(r"eigenvalue $\lambda$ of the Hessian")
    if high > 5 * float(grid[-1]):
        # Nothing is resolved below the width of the bumps.
        axes.set_xscale("symlog", linthresh=width, linscale=0.7)
        first = math.ceil(math.log10(width))
        powers = [10.0**k for k in range(first, math.floor(math.log10(max(high, -low))) + 1)]
        axes.set_xticks([tick for tick in (*(-power for power in powers), 0.0, *powers) if low <= tick <= high])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)
