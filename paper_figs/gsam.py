"""GSAM (Zhuang et al. 2022): what its extra step does, and what the surrogate gap measures.

python -m paper_figs.gsam FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import add_landscape, draw_landscape, letter, role_lines
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]

FOREVER = np.array([10**15])
"""A time at which only what stays is left of a bound."""

# -- the decomposition of a gradient --


class Place(NamedTuple):
    """Where the arrows are drawn. claim: what says how fast the gap falls along g_perp there; refuted: falsely."""

    problem: str
    x0: tuple[float, float]
    claim: str
    refuted: bool = False


PLACES = {
    "minimum": Place("spectrum:h=1/0.2", (0.1, 0.5), "gsam/gap-decrease"),
    "saddle": Place("spectrum:h=1/-1", (0.1, 0.1), "gsam/ascent-lowers-true-gap-at-saddles", refuted=True),
}
ASCENT = 0.5
WINDOWS = {"minimum": (-0.12, 0.72, -0.08, 0.96), "saddle": (-0.12, 0.72, -0.42, 0.62)}


def at_place(place: Place) -> rv.Setting:
    problem = rv.problems.build(place.problem)
    return rv.make_setting(problem, method=rv.methods.build("gsam:alpha=0.1"), gamma=0.1, rho=ASCENT, x0=place.x0)


def one_step_gap(setting: rv.Setting, points: Values) -> Values:
    """h_1 = f(x + rho u) - f(x) at each row."""
    rho = setting.rho.largest
    gradients = np.array([setting.problem.gradient(x) for x in points])
    raised = points + rho * gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    return np.asarray(rv.evaluate(setting, raised)[0] - rv.evaluate(setting, points)[0])


def slope_at(place: Place) -> tuple[float, float]:
    """The slope of h_1 along g_perp at the place itself, and ||g_perp||^2, below whose negative it is said to be."""
    trial = rv.claims[place.claim].measure("true slope", at_place(place), steps=2)
    # The start comes first of the points that are looked at.
    return -float(trial.measured[0]), float(trial.stated({})[0])


def measure_decomposition(quality: Quality) -> Table:
    table = Table()
    for letter_, (name, place) in zip("ab", PLACES.items(), strict=True):
        setting = at_place(place)
        table.axes(letter_, "x_1, dimensionless", "x_2, dimensionless; arrows from first to second point")
        left, right, low, high = WINDOWS[name]
        add_landscape(table, f"f at the {name}", setting, np.linspace(left, right, 31), np.linspace(low, high, 31))
        x = setting.x0
        found = rv.gsam_parts(setting.problem, x, ASCENT)
        raised = x + ASCENT * found.g / np.linalg.norm(found.g)
        table.add(letter_, "ascent", [x[0], raised[0]], [x[1], raised[1]], role="exact")
        for arrow, vector in (("g", found.g), ("g_p", found.gp), ("g_perp", found.perp)):
            head = x + vector
            table.add(letter_, arrow, [x[0], head[0]], [x[1], head[1]])
        _along(table, {"a": "c", "b": "d"}[letter_], setting, place, found.perp)
    return table


def _along(table: Table, panel: str, setting: rv.Setting, place: Place, direction: Values) -> None:
    """h_1(x + s g_perp) - h_1(x) against s, its slope at s = 0 and the one it is said to have at most."""
    s = np.linspace(0, 1, 41)
    table.axes(panel, "s, the length of the way in g_perp", "h_1(x + s g_perp) - h_1(x), dimensionless")
    values = one_step_gap(setting, setting.x0 + s[:, None] * direction)
    true, square = slope_at(place)
    table.add(panel, "gap of one ascent step", s, values - values[0])
    table.add(panel, "tangent of the true slope", s[[0, -1]], [0.0, true], role="exact")
    table.add(panel, "slope -||g_perp||^2", s[[0, -1]], [0.0, -square], role="variant" if place.refuted else "bound")


ARROWS = {"g": r"$\nabla f$", "g_p": r"$\nabla f_p$", "g_perp": r"$\nabla f_\perp$"}
LABELS = {
    "a": {"g": (-1, 9), "g_p": (4, 8), "g_perp": (-13, 4)},
    "b": {"g": (13, 3), "g_p": (4, 8), "g_perp": (-6, -10)},
}
"""Where an arrow's label stands, in points from its head."""


def draw_decomposition(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 5.8))
    panels = figure.subplots(2, 2, height_ratios=[1.7, 1])
    titles = {"a": r"near a minimum, $H=\mathrm{diag}(1,0.2)$", "b": r"at a saddle, $H=\mathrm{diag}(1,-1)$"}
    for axes, panel, place in zip(panels[0], "ab", PLACES, strict=True):
        draw_landscape(axes, table, f"f at the {place}")
        _draw_arrows(axes, table, panel)
        axes.plot(0, 0, "+", color=rv.style.INK, markersize=6)
        axes.annotate(place, (0, 0), xytext=(0, -13), textcoords="offset points", fontsize=7, ha="center")
        axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        letter(axes, panel, titles[panel])
    for axes, panel, sign in zip(panels[1], "cd", ("falls", "rises"), strict=True):
        _draw_slopes(axes, table, panel)
        letter(axes, panel, f"the gap {sign} along $\\nabla f_\\perp$")
    return figure


def _draw_arrows(axes: Axes, table: Table, panel: str) -> None:
    way = table.one(panel, "ascent")
    axes.plot(way.x, way.y, **{**rv.style.look("exact"), "color": rv.style.INK})
    for end, name, fill, offset in ((0, "$x$", rv.style.INK, (-9, -9)), (1, r"$x+\rho u$", "white", (6, -3))):
        axes.plot(way.x[end], way.y[end], "o", color=rv.style.INK, markerfacecolor=fill, markersize=4, zorder=4)
        axes.annotate(name, (way.x[end], way.y[end]), xytext=offset, textcoords="offset points")
    for number, (name, text) in enumerate(ARROWS.items()):
        s, colour = table.one(panel, name), rv.style.COLOURS[number]
        tail, head = (float(s.x[0]), float(s.y[0])), (float(s.x[1]), float(s.y[1]))
        look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
        axes.annotate("", head, tail, arrowprops=look)
        axes.annotate(text, head, xytext=LABELS[panel][name], textcoords="offset points", color=colour,
                      ha="center", va="center")  # fmt: skip


def _draw_slopes(axes: Axes, table: Table, panel: str) -> None:
    gap, tangent, claimed = table.of(panel)
    axes.plot(gap.x, gap.y, **{**rv.style.look("measured", 2), "markevery": 5},
              label=r"$h_1(x+s\nabla f_\perp)-h_1(x)$")  # fmt: skip
    times = tangent.y[1] / -claimed.y[1]
    axes.plot(tangent.x, tangent.y, **{**rv.style.look("exact"), "color": rv.style.INK},
              label=f"its tangent, slope ${times:+.3g}\\,\\|\\nabla f_\\perp\\|^2$")  # fmt: skip
    word = "bound" if claimed.role == "bound" else "refuted"
    axes.plot(claimed.x, claimed.y, **rv.style.look(claimed.role, 1),
              label=f"{word}: slope at most $-\\|\\nabla f_\\perp\\|^2$")  # fmt: skip
    axes.axhline(0, color=rv.style.PALE, linewidth=0.6, zorder=0)
    axes.set(xlabel=r"$s$", ylabel="change of the gap $h_1$")
    axes.legend(loc="lower left" if claimed.role == "bound" else "upper left")


# -- the surrogate gap and the largest eigenvalue --

LINES = {
    "curvature rises at the rate M": "bent:curvature=1,bend=0.5,reach=1",
    "curvature falls at the rate M": "bent:curvature=1,bend=-0.5,reach=1",
}
PLANE = "cosine-sum:w=1/0.2"
SAME_BAND = "cosine-sum:w=1"
"""On the line, where the claim knows the exact maximum; its lambda_max and M are those of PLANE."""
DIRECTIONS = {"steepest": (1.0, 0.0), "between": (1.0, 5.0), "flattest": (0.0, 1.0)}
"""On which side of the minimum one step starts; with the second, the gradient lies along (1, 1)."""


def at_minimum(spec: str, rho: float) -> rv.Setting:
    problem = rv.problems.build(spec)
    return rv.make_setting(problem, method=rv.methods.build("gsam"), gamma=0.1, rho=rho, x0=np.zeros(problem.d))


class Band(NamedTuple):
    """2 h/rho^2 at a minimum of a function on the line, and the ends of what it may be; each (K,)."""

    gap: Values
    low: Values
    high: Values


def band(spec: str, rhos: Values) -> Band:
    claim, rows = rv.claims["gsam/surrogate-gap"], []
    for rho in rhos.tolist():
        setting = at_minimum(spec, rho)
        below, above = (claim.measure(trial, setting, steps=1) for trial in ("from below", "from above"))
        rows.append([2 / rho**2 * end for end in (above.measured[0], below.stated({})[0], above.stated({})[0])])
    return Band(*np.array(rows).T)


def highest(rho: float) -> float:
    """The largest f - f* of PLANE within rho <= pi of the minimum. It rises with |x_1| and with |x_2| that far, so that
    the maximum lies on the circle."""
    angles = np.linspace(0, np.pi / 2, 721)
    circle = rho * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return float(rv.evaluate(at_minimum(PLANE, rho), circle)[0].max())


def nearby(start: tuple[float, float], rho: float) -> float:
    """h_1 at a distance 1e-6 from the minimum of PLANE: at the minimum itself there is no gradient to ascend."""
    point = 1e-6 * np.array([start]) / np.linalg.norm(start)
    return float(one_step_gap(at_minimum(PLANE, rho), point)[0])


def measure_gap(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "rho, dimensionless", "2 h/rho^2 at the minimum of a function on the line, dimensionless")
    table.axes("b", "rho, dimensionless", "2 h/rho^2 at and near the minimum of cosines in the plane, dimensionless")
    rhos = np.linspace(0.05, 2, quality.pick(40, 118))
    for panel, specs in (("a", LINES), ("b", {"": SAME_BAND})):
        for name, spec in specs.items():
            found = band(spec, rhos)
            if name:
                table.add(panel, name, rhos, found.gap)
        table.add(panel, "lambda_max - M rho/3", rhos, found.low, role="bound")
        table.add(panel, "lambda_max + M rho/3", rhos, found.high, role="bound")
    table.add("b", "exact maximum", rhos, [2 * highest(rho) / rho**2 for rho in rhos.tolist()])
    for name, start in DIRECTIONS.items():
        gaps = [2 * nearby(start, rho) / rho**2 for rho in rhos.tolist()]
        table.add("b", f"one step, {name}", rhos, gaps, role="variant")
    curvatures = np.linalg.eigvalsh(rv.problems.build(PLANE).hessian(np.zeros(2)))
    for name, curvature in zip(("lambda_min", "lambda_max"), curvatures, strict=True):
        table.add("b", name, rhos[[0, -1]], curvature, role="exact")
    return table


def draw_gap(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.3))
    left, right = figure.subplots(1, 2)
    for axes, panel in ((left, "a"), (right, "b")):
        low, high = table.of(panel, "bound")
        axes.fill_between(low.x, low.y, high.y, color=rv.style.FAINT, alpha=0.5, linewidth=0)
        for s in (low, high):
            axes.plot(s.x, s.y, **rv.style.look("bound", 1))
        axes.set(xlabel=r"radius $\rho$", ylabel=r"$2h/\rho^2$")
    for number, s in zip((0, 2), table.of("a", "measured"), strict=True):
        left.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 3})
        left.annotate(s.name.replace(" at the rate M", "\nas fast as it may"), (1.0, float(np.interp(1.0, s.x, s.y))),
                      xytext=(0, 26 if number == 0 else -34), textcoords="offset points", fontsize=7, ha="center",
                      arrowprops={"arrowstyle": "-", "color": rv.style.PALE, "linewidth": 0.6})  # fmt: skip
    left.set(ylim=(0.4, 1.6))
    maximum = table.one("b", "exact maximum")
    right.plot(maximum.x, maximum.y, **{**rv.style.look("measured", 0), "markevery": 3})
    for number, s in enumerate(table.of("b", "variant"), 3):
        right.plot(s.x, s.y, **rv.style.look("variant", number))
        right.annotate(s.name.removeprefix("one step, "), (s.x[-1], s.y[-1]), xytext=(4, -1),
                       textcoords="offset points", fontsize=7, va="center")  # fmt: skip
    for s in table.of("b", "exact"):
        right.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.INK})
        right.annotate(f"$\\lambda_{{\\{s.name.removeprefix('lambda_')}}}$", (s.x[-1], s.y[-1]), xytext=(4, 5),
                       textcoords="offset points", va="center")  # fmt: skip
    right.set(xlim=(0, 2.45), ylim=(0, 1.75))
    letter(left, "a", r"at minima on the line, $\lambda_{\max}=1$, $M=0.5$")
    letter(right, "b", r"a minimum of cosines in the plane, $M=1$")
    words = {
        "measured": "exact maximum over the ball",
        "bound": r"bound $\lambda_{\max}\pm M\rho/3$",
        "variant": "one ascent step from beside the minimum",
        "exact": "eigenvalues",
    }
    figure.legend(handles=role_lines(words), loc="outside lower center", ncols=4)
    return figure


FIGURES = (
    Spec(
        "gsam-decomposition",
        "The gradient, the perturbed gradient, and what of the first is perpendicular to the second. Along it the gap "
        "of one ascent step falls near the minimum of a convex quadratic, as proved, and rises at a saddle.",
        measure_decomposition,
        draw_decomposition,
    ),
    Spec(
        "gsam-gap",
        "The surrogate gap at a minimum means the largest eigenvalue where the maximum over the ball is exact; one "
        "ascent step from beside the minimum may show any number between the extreme eigenvalues.",
        measure_gap,
        draw_gap,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
