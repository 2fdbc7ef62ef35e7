"""SAM bouncing across a bending ravine and drifting to where it is wide; gradient descent stays where it lands.

python -m paper_figs.animation FOLDER
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

import ravine as rv
from paper_figs.dynamics import grid, path
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]


# -- the problem: two weights of a linear network --


class TwoWeights(NamedTuple):
    """f(a, b) = (a b - target)^2/2."""

    target: float


@rv.gap.of(TwoWeights)
def _gap(problem: Any, x: Any) -> float:
    miss = x[0] * x[1] - problem.target
    return float(0.5 * miss * miss)


@rv.value.of(TwoWeights)
def _value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    miss = x[0] * x[1] - problem.target
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * 0.5 * miss * miss)


@rv.gradient.of(TwoWeights)
def _gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    miss = scale * (x[0] * x[1] - problem.target)
    out[0] = miss * x[1]
    out[1] = miss * x[0]


class TwoLayers(rv.Problem):
    """f(a, b) = (a b - 1)^2/2, one example through a linear network of two layers with a weight each.

    Its minima are the curve a b = 1, on which the top curvature is a^2 + b^2: least, 2, at (1, 1). L holds in the disk
    of radius 4, which holds the runs: ||hess f|| <= a^2 + b^2 + |2 a b - 1|. f has none on the whole plane.
    """

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__(
            name="two-layers",
            data=TwoWeights(1.0),
            n=1,
            d=2,
            L=rv.Constant(2 * 16.0 + 1.0, rv.Grade.GIVEN),
            mu=rv.Constant(0.0, rv.Grade.BOUND),
            start=np.array(start),
            minimiser=np.ones(2),
            convex_components=False,
        )

    @property
    def component_smoothness(self) -> tuple[Values, rv.Grade]:
        return np.array([self.L.value]), self.L.grade

    @property
    def component_gaps(self) -> tuple[Values, rv.Grade]:
        return np.zeros(1), rv.Grade.EXACT


# -- the runs --

START = (-0.25, 3.0)
GAMMA, RHO = 0.2, 0.12
STEPS = 400
FRAMES = 84
WINDOW = ((-0.45, 2.05), (0.6, 3.2))
NAMES = ("SAM", "gradient descent")


def measure_ravine(quality: Quality) -> Table:
    table = Table()
    table.axes("plane", "a, dimensionless", "b, dimensionless")
    table.axes("contours", "a, dimensionless", "f at b = the name of the series, dimensionless")
    table.axes(
        "curvature",
        "step t",
        "top eigenvalue of the Hessian at the minimum nearest to (x_{t-1} + x_t)/2, dimensionless",
    )
    table.axes("frames", "frame", "step t")
    problem = TwoLayers(START)
    for name, rho in zip(NAMES, (RHO, 0.0), strict=True):
        # rho = 0 is gradient descent.
        x = path(rv.make_setting(problem, gamma=GAMMA, rho=rho, lam=1.0), STEPS)
        table.add("plane", name, x[:, 0], x[:, 1])
        table.add("curvature", name, np.arange(1, STEPS + 1), curvatures(problem, x))
    a = np.linspace(1 / WINDOW[1][1], WINDOW[0][1], 81)
    table.add("plane", "minima", a, 1 / a, role="exact")
    table.add("curvature", "flattest minimum", [1, STEPS], top(problem, np.ones(2)), role="exact")
    table.add("curvature", "2/gamma", [1, STEPS], rv.usam_edge(GAMMA, 0.0), role="bound")
    across, along = (np.round(np.arange(low, high + 0.01, 0.05), 2) for low, high in WINDOW)
    points = np.stack(np.meshgrid(across, along), axis=-1).reshape(-1, 2)
    heights = rv.evaluate(rv.make_setting(problem, gamma=GAMMA), points)[0].reshape(len(along), -1)
    for height, row in zip(along, heights, strict=True):
        table.add("contours", repr(float(height)), across, row, role="exact")
    table.add("frames", "shown", np.arange(FRAMES), shown_steps())
    return table


def top(problem: rv.Problem, x: Values) -> float:
    """The largest eigenvalue of the Hessian."""
    return float(np.linalg.eigvalsh(problem.hessian(x))[-1])


def curvatures(problem: rv.Problem, x: Values) -> Values:
    """At the minimum nearest to the middle of two iterates, where the bounces cancel."""
    a = np.geomspace(0.2, 5, 8001)
    minima = np.stack([a, 1 / a], axis=1)
    middles = (x[1:] + x[:-1]) / 2
    nearest = [int(np.argmin(((minima - middle) ** 2).sum(axis=1))) for middle in middles]
    return np.array([top(problem, minima[k]) for k in nearest])


def shown_steps() -> Values:
    """Every step at first, then ever fewer; each an odd number after the last, so that SAM is seen on both sides."""
    steps = [0]
    for wish in np.geomspace(1, STEPS, FRAMES - 1):
        stride = max(1, round(wish) - steps[-1])
        steps.append(steps[-1] + stride - (stride + 1) % 2)
    return np.array(steps, dtype=np.float64)


# -- the pictures --

SHADES = LinearSegmentedColormap.from_list("walls", ["#ffffff", "#e6edf4", "#c9d7e5", "#adc1d6", "#93acc6"])
INKS = {"SAM": rv.style.COLOURS[1], "gradient descent": rv.style.INK}
MARKS = {"SAM": "o", "gradient descent": "s"}
TRAIL = 16
"""Bounces that are seen, fading; older ones leave a pale wake."""

SETTLED = 7
"""The step from which names are shown: gradient descent has landed, and SAM no longer leaps."""
ABOVE = {"SAM": -0.5, "gradient descent": 0.6}
"""Of the names over the curves' ends."""
REACH = {"SAM": (1.4, 300.0), "gradient descent": (2.9, 100.0)}
"""Steps between which a name's middle stays, so that it is never cut."""

MILLISECONDS, LAST_MILLISECONDS = 80, 2500
DOTS = 200
"""Per inch: 1440 dots, twice as many as it is wide on a page."""


def draw_ravine(table: Table) -> Figure:
    """The still: both runs as a whole."""
    figure, plane, chart = _scene(table)
    for name in NAMES[::-1]:
        run, curve = table.one("plane", name), table.one("curvature", name)
        plane.plot(run.x, run.y, color=INKS[name], linewidth=0.7, marker=MARKS[name], markersize=2.5)
        chart.plot(curve.x, curve.y, color=INKS[name], linewidth=1.4)
        seen = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, -1]
        chart.plot(curve.x[seen], curve.y[seen], MARKS[name], color=INKS[name], markersize=4)
        _chart_label(chart, name).set_position((30, curve.y[30] + ABOVE[name]))
    _landing(plane, table)
    plane.text(0.85, 1.5, "SAM", **_bold("SAM"))
    return figure


def _scene(table: Table) -> tuple[Figure, Axes, Axes]:
    """All that does not move: walls, the curve of minima, the lines of the chart, names."""
    figure = Figure(figsize=(rv.style.DOUBLE, 4.0))
    plane, chart = figure.subplots(1, 2, width_ratios=[1, 1.05])
    _draw_walls(plane, table)
    edge, flat = table.one("curvature", "2/gamma"), table.one("curvature", "flattest minimum")
    chart.plot(edge.x, edge.y, **{**rv.style.look("bound"), "color": rv.style.PALE})
    chart.plot(flat.x, flat.y, **{**rv.style.look("exact"), "color": rv.style.PALE})
    words = {"fontsize": 9, "color": "#666666"}
    chart.text(STEPS, edge.y[0] + 0.15, r"$2/\gamma$: sharper minima repel gradient descent", ha="right", **words)
    chart.text(1.05, flat.y[0] - 0.2, "flattest minimum", va="top", **words)
    chart.set(xscale="log", xlim=(0.9, STEPS * 1.1), ylim=(0, 11))
    chart.set_xticks([1, 10, 100], ["1", "10", "100"])
    chart.set_xlabel("step", fontsize=9)
    chart.set_ylabel("sharpness: top curvature", fontsize=9)
    chart.tick_params(labelsize=8.5)
    return figure, plane, chart


def _draw_walls(axes: Axes, table: Table) -> None:
    x, y, heights = grid(table, "contours")
    # f falls to 0 in the ravine: its logarithm is drawn down to a hundredth.
    levels = np.linspace(-2, 1.2, 13)
    depths = np.log10(np.maximum(heights, 1e-2))
    axes.contourf(x, y, depths, levels=levels, cmap=SHADES, extend="max")
    axes.contour(x, y, depths, levels=levels[1::2], colors="white", linewidths=0.6, linestyles="solid")
    minima = table.one("plane", "minima")
    axes.plot(minima.x, minima.y, **{**rv.style.look("exact"), "color": rv.style.PALE, "linewidth": 1.2})
    axes.text(1.1, 1.12, "flat, wide", fontsize=9, color="#555555")
    axes.text(0.44, 3.06, "sharp, narrow", fontsize=9, color="#555555")
    axes.set(xlim=WINDOW[0], ylim=WINDOW[1], aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _bold(name: str) -> dict[str, Any]:
    return {"color": INKS[name], "fontsize": 9, "fontweight": "bold"}


def _chart_label(axes: Axes, name: str) -> Text:
    return axes.text(10, 5, name, ha="center", va="center", **_bold(name))


def _landing(axes: Axes, table: Table) -> Text:
    """The words beside the minimum where gradient descent stops."""
    run = table.one("plane", "gradient descent")
    line = {"arrowstyle": "-", "color": INKS["gradient descent"], "linewidth": 0.8, "shrinkB": 4}
    place = (run.x[-1], run.y[-1])
    return axes.annotate("gradient descent\nstays where it lands", place, (0.84, 2.4), va="center", arrowprops=line,
                         **_bold("gradient descent"))  # fmt: skip


# -- the moving part --


class _Actor:
    """One run in both panels: trail, head, curve so far, name."""

    def __init__(self, table: Table, name: str, plane: Axes, chart: Axes) -> None:
        self.name, self.run, self.curve = name, table.one("plane", name), table.one("curvature", name)
        self.wake = plane.plot([], [], color=INKS[name], linewidth=0.6, alpha=0.3)[0]
        self.trail = LineCollection([], linewidths=1.3)
        plane.add_collection(self.trail)
        look: dict[str, Any] = {
            "color": INKS[name],
            "marker": MARKS[name],
            "markeredgecolor": "white",
            "markeredgewidth": 0.7,
        }
        self.head = plane.plot([], [], **look, markersize=5.5)[0]
        self.line = chart.plot([], [], color=INKS[name], linewidth=1.8)[0]
        self.end = chart.plot([], [], **look, markersize=6.5)[0]
        self.label = _chart_label(chart, name)
        self.artists: list[Artist] = [self.wake, self.trail, self.head, self.line, self.end]
        for artist in [*self.artists, self.label]:
            artist.set_animated(True)

    def show(self, t: int) -> None:
        """Move to step t."""
        first = max(0, t - TRAIL)
        points = np.stack([self.run.x[: t + 1], self.run.y[: t + 1]], axis=1)
        self.wake.set_data(*points[: first + 1].T)
        self.trail.set_segments(list(np.stack([points[first:-1], points[first + 1 :]], axis=1)))
        age = np.arange(t - first)[::-1]
        self.trail.set_color([(INKS[self.name], 1 - 0.7 * step / TRAIL) for step in age])
        self.head.set_data(points[-1:].T)
        self.line.set_data(self.curve.x[:t], self.curve.y[:t])
        self.end.set_data(self.curve.x[:t][-1:], self.curve.y[:t][-1:])
        height = self.curve.y[max(t, 1) - 1] + ABOVE[self.name]
        self.label.set_position((float(np.clip(t, *REACH[self.name])), height))


def frames(table: Table) -> list[Image.Image]:
    """The pictures, in order."""
    figure, plane, chart = _scene(table)
    figure.set_dpi(DOTS)
    canvas: Any = FigureCanvasAgg(figure)
    actors = [_Actor(table, name, plane, chart) for name in NAMES[::-1]]
    counter = plane.text(0.98, 0.98, "", transform=plane.transAxes, fontsize=10, ha="right", va="top", animated=True)
    landing, name = _landing(plane, table), plane.text(1, 1, "SAM", animated=True, ha="right", **_bold("SAM"))
    landing.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    made, sam = [], table.one("plane", "SAM")
    for t in table.one("frames", "shown").y.astype(int).tolist():
        canvas.restore_region(still)
        for actor in actors:
            actor.show(t)
        counter.set_text(f"step {t}")
        name.set_position((sam.x[max(t - 1, 0) : t + 1].min() - 0.09, sam.y[t] - 0.05))
        words: list[Artist] = [counter]
        if t >= SETTLED:
            words += [landing, name, *(actor.label for actor in actors)]
        for artist in [*(artist for actor in actors for artist in actor.artists), *words]:
            artist.axes.draw_artist(artist)  # type: ignore[union-attr]
        made.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    return made


def _mapped(picture: Image.Image, palette: Image.Image) -> Image.Image:
    """In the colours of the palette. Pillow finds them to 6 bits a channel, for which white is nearly white."""
    found = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    colours = found.getpalette() or []
    lightest = int(np.argmax(np.reshape(colours, (-1, 3)).sum(axis=1)))
    indices = np.array(found)
    indices[(np.asarray(picture) == 255).all(axis=-1)] = lightest
    exact = Image.fromarray(indices)
    exact.putpalette(colours)
    return exact


def encode_gif(table: Table) -> bytes:
    """The animation: one palette for all frames, so that only what moves is stored."""
    pictures = frames(table)
    palette = pictures[len(pictures) // 4].quantize(255, method=Image.Quantize.MEDIANCUT)
    mapped = [_mapped(picture, palette) for picture in pictures]
    out = io.BytesIO()
    lengths = [MILLISECONDS] * (len(mapped) - 1) + [LAST_MILLISECONDS]
    mapped[0].save(out, format="GIF", save_all=True, append_images=mapped[1:], duration=lengths, loop=0)
    return out.getvalue()


FIGURES = (
    Spec(
        "ravine-animation",
        "SAM bounces across a bending ravine, f = (a b - 1)^2/2, and drifts to its widest part; gradient descent with "
        "the same step size stays at the minimum where it lands.",
        measure_ravine,
        draw_ravine,
        (("gif", encode_gif),),
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
