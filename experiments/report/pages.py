"""The report's files from its content: three HTML pages, the same as Markdown, and the content itself as JSON."""

from __future__ import annotations

import base64
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

from experiments.verify.routes import UNAVAILABLE
from experiments.verify.verify import ClaimResult

from . import style
from .figure import drawn_row, ratio_figure, strip_figure
from .mathml import mathml, statement_lines
from .svg import PAGE, inline_svg

TEMPLATES = Path(__file__).parent / "templates"

PAGES = (
    ("index.html", "Claims"),
    ("refuted.html", "Refuted statements"),
    ("left-out.html", "What is left out"),
)

MOST_OTHERS = 24
"""Thin lines in one picture."""


# -- pictures --


def picture(result: ClaimResult, number: int) -> tuple[str, str]:
    """The card's figure as inline SVG and its caption; both empty where there is nothing to draw. number: among the
    pictures of the page."""
    claim = result.claim
    row = drawn_row(result.evidence)
    numbers = [e for e in result.evidence if math.isfinite(e.measured) and math.isfinite(e.bound)]
    if row is None and not numbers:
        return "", ""
    name = f"p{number}"
    with style.styled():
        matplotlib.rcParams.update(PAGE)  # type: ignore[arg-type]
        if row is None:
            caption = f"Both sides of the statement on each of {len(numbers)} instances."
            return inline_svg(strip_figure(claim, numbers), name=name, label=f"{claim.id}: {caption}"), caption
        others = [e for e in result.evidence if e is not row and e.route == row.route and len(e.abscissa)][:MOST_OTHERS]
        caption = _caption(row.instance, row.route, len(others), row.replicates, exact=row.verdict.value == "exact")
        return inline_svg(ratio_figure(claim, row, others), name=name, label=f"{claim.id}: {caption}"), caption


def _caption(instance: str, route: str, others: int, replicates: int, *, exact: bool) -> str:
    below = "their difference as part of what rounding allows (grey)" if exact else "their ratio"
    text = f"Above: both sides, {route}, on {instance}. Below: {below}"
    text += f"; thin: {others} other instances." if others and not exact else "."
    if replicates > 1:
        text += f" Band: 2 standard errors of {replicates} replicates; the verdict is that of the betting test."
    return text


# -- HTML --


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}".replace("-", "−")


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 100 else f"{value:.0f} s"


def _download(content: Any) -> str:
    text = json.dumps(plain(content), separators=(",", ":"))
    return "data:application/json;base64," + base64.b64encode(text.encode()).decode()


def _digest(key: str) -> str:
    """The digest at the end of a store's key."""
    found = re.search(r"\[([0-9a-f]{16})\]$", key)
    return found[1] if found else "–"


def _sentence(text: str) -> str:
    """With a capital at the start, where that is a word, and one full stop."""
    first = text[:1].upper() if re.match(r"[a-z]+ ", text) and not text.startswith(("f ", "x ")) else text[:1]
    return f"{first}{text[1:].rstrip('. ')}."


FILTERS: Mapping[str, Callable[..., str]] = {
    "num": lambda value: _number(value, 4),
    "num3": lambda value: _number(value, 3),
    "num6": lambda value: _number(value, 6),
    "percent": lambda value: "–" if value is None else f"{value:+.1%}".replace("-", "−"),
    "share": lambda value: "–" if value is None else f"{value:.1%}",
    "seconds": _seconds,
    "slug": lambda text: re.sub(r"[^a-z]+", "-", text).strip("-"),
    "download": _download,
    "digest": _digest,
    "sentence": _sentence,
    "relation": lambda text: {"=": "stated", ">=": "bound from below"}.get(text, "bound"),
    "sign": lambda text: {"<=": "≤", ">=": "≥"}.get(text, "="),
}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(FILTERS)
    return environment


def html_pages(content: Mapping[str, Any], pictures: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Each page by its file name. pictures: SVG and caption by claim id."""
    shared = {
        **content,
        "css": (TEMPLATES / "report.css").read_text(),
        "script": (TEMPLATES / "report.js").read_text(),
        "pages": PAGES,
        "ids": [claim["id"] for claim in content["claims"]],
        "statements": {c["id"]: [mathml(line) for line in statement_lines(c["statement"])] for c in content["claims"]},
        "figures": {name: svg for name, (svg, _) in pictures.items()},
        "captions": {name: caption for name, (_, caption) in pictures.items()},
        "unavailable": unavailable_routes(content["claims"]),
        "silent": silent_constants(content["claims"]),
    }
    return {file: _environment().get_template(f"{file}.j2").render(**shared, here=file) for file, _ in PAGES}


def unavailable_routes(claims: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By reason, which claims could not take which route on how many instances."""
    found: dict[str, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
    for claim in claims:
        for row in claim["instances"]:
            if row["reason"].startswith(UNAVAILABLE):
                found[row["reason"].removeprefix(UNAVAILABLE).strip(" :")][claim["id"], row["route"]] += 1
    return {
        reason: [{"claim": claim, "route": route, "count": count} for (claim, route), count in sorted(rows.items())]
        for reason, rows in sorted(found.items())
    }


def silent_constants(claims: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Named constants of each claim of which the sharpness profile says nothing."""
    found = {}
    for claim in claims:
        known = {sharp["constant"] for sharp in claim["sharpness"]}
        if missing := [name for name in claim["named_constants"] if name not in known]:
            found[claim["id"]] = missing
    return found


# -- Markdown and JSON --


def plain(content: Any) -> Any:
    """Numbers that JSON lacks as words, tuples as lists."""
    if isinstance(content, Mapping):
        return {key: plain(entry) for key, entry in content.items()}
    if isinstance(content, list | tuple):
        return [plain(entry) for entry in content]
    if isinstance(content, float) and not math.isfinite(content):
        return "nan" if math.isnan(content) else "infinity" if content > 0 else "-infinity"
    return content


def json_text(content: Mapping[str, Any]) -> str:
    """The content as JSON; infinities and NaN as words."""
    return json.dumps(plain(content), separators=(",", ":"), allow_nan=False, ensure_ascii=False) + "\n"


def markdown_text(content: Mapping[str, Any]) -> str:
    """The content as Markdown, statements as LaTeX between dollar signs."""
    shared = {
        **content,
        "unavailable": unavailable_routes(content["claims"]),
        "silent": silent_constants(content["claims"]),
    }
    environment = _environment().overlay(autoescape=False)
    environment.filters = {**environment.filters, "cell": _cell}
    return environment.get_template("report.md.j2").render(**shared)


def _cell(text: Any) -> str:
    """Text inside a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
