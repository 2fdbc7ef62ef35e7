"""A claim's statement as MathML, broken where a reader would break it."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

FENCES = re.compile(r"\\(?:[Bb]igg?)[lr]?(?=\\[a-zA-Z{}|]|[()\[\]|])")
"""Sizes of fences: in MathML they stretch by themselves, and the converter does not know them before commands."""


def statement_lines(latex: str) -> list[str]:
    """The statement cut at its outermost \\quad: conditions and parts stand in lines of their own."""
    lines, depth, start, k = [], 0, 0, 0
    while k < len(latex):
        if latex[k] == "{":
            depth += 1
        elif latex[k] == "}":
            depth -= 1
        elif depth == 0 and latex.startswith((r"\quad", r"\qquad"), k):
            end = k + (len(r"\quad") if latex.startswith(r"\quad", k) else len(r"\qquad"))
            lines.append(latex[start:k])
            start = k = end
            continue
        elif latex[k] == "\\":  # an escaped brace is no brace
            k += 1
        k += 1
    lines.append(latex[start:])
    return [line.strip() for line in lines if line.strip(" ,")]


def mathml(latex: str) -> str:
    """One <math> element. Raises ValueError where a command is not understood."""
    text = convert(FENCES.sub("", latex), display="block")
    unknown = re.findall(r">\s*(\\[^<]*)<", text)
    if unknown:
        raise ValueError(f"the statement holds {unknown[0]!r}, which MathML does not know: {latex!r}")
    return str(text)
