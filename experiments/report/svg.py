"""A figure as SVG inside a page: no identifiers that clash, and colours that follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

from matplotlib.figure import Figure

from . import style

VARIABLES = {
    style.INK: "--ink",
    style.PALE: "--pale",
    style.MEASURED: "--measured",
    style.BOUND: "--bound",
}
"""Colours of the style by the names that the page's style sheet gives them."""

PAGE: Mapping[str, object] = {
    "svg.fonttype": "none",
    "text.color": style.INK,
    "axes.labelcolor": style.INK,
    "xtick.color": style.INK,
    "ytick.color": style.INK,
    "path.simplify": True,
}
"""Settings for a figure that goes into a page: text stays text, in the page's colours."""


def inline_svg(figure: Figure, *, name: str, label: str) -> str:
    """The <svg> element. name: of the picture in the page, short: it begins every
    identifier. label: for those who cannot see
    it. Draw and call inside `style.styled()`, with the settings PAGE."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = _own_identifiers(text, name)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(f'style="fill: {colour}; stroke: {colour}"', f'class="{variable[2:]}"')
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"\n\s*", "\n", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{_escaped(label)}"', 1).strip()


def _own_identifiers(text: str, name: str) -> str:
    """Identifiers that something refers to, as short ones of this picture's own; the others go."""
    references = r"(?:(?:xlink:)?href=\"#|url\(#)([^\")]+)"
    used = list(dict.fromkeys(re.findall(references, text)))
    short = {old: f"{name}-{number}" for number, old in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", text)
    text = re.sub(r'(?:xlink:)?href="#([^"]+)"', lambda found: f'href="#{short[found[1]]}"', text)
    return re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{short[found[1]]})", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
