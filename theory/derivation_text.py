"""A derivation as text for the terminal and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import sympy as sp

from theory.derivation import Derivation, Given
from theory.derivation_check import symbols_of
from theory.derivation_domain import SIGNS, sign_of
from theory.derivation_links import Induction, Instance
from theory.derivation_points import Unusable
from theory.derivation_steps import AnyStep, Factor, Limit, Monotone, Quadratic, Step
from theory.derivation_witness import witnessed
from theory.inner_product import SquaredNorm, Vector, is_inner_product

RELATIONS = {"<=": r"\le", ">=": r"\ge", "=": "=", "<": "<", ">": ">"}

PREAMBLE = r"""\documentclass{article}
\usepackage{amsmath,amssymb}
\usepackage[margin=2cm]{geometry}
\setlength{\parindent}{0pt}
\allowdisplaybreaks
\begin{document}
"""


def latex(expression: sp.Expr, names: Mapping[str, str]) -> str:
    """The expression; vectors and symbols by their LaTeX names."""
    symbols = {symbol: _symbol(symbol.name, names) for symbol in expression.free_symbols}
    return str(sp.latex(expression, symbol_names=symbols))


def _symbol(name: str, names: Mapping[str, str]) -> str:
    if name in names:
        return names[name]
    if inner := re.fullmatch(r"<(.+),(.+)>", name):
        return r"\langle " + ", ".join(_symbol(part, names) for part in inner.groups()) + r"\rangle"
    if norm := re.fullmatch(r"\|(.+)\|\^2", name):
        return r"\|" + _symbol(norm.group(1), names) + r"\|^2"
    if name == "lam":
        return r"\lambda"
    return str(sp.latex(sp.Symbol(name)))


def statement_text(step: AnyStep) -> str:
    """left relation right, on one line."""
    left, relation, right = step.statement
    return f"{sp.sstr(left)} {relation} {sp.sstr(right)}"


def certificate_text(step: AnyStep) -> str:
    """Why it follows: what right - left is, or which facts are used."""
    if isinstance(step, Quadratic):
        return f"in {step.variable}: {step.leading}, and 4 a c - b^2 >= 0 by {step.discriminant}"
    if isinstance(step, Monotone):
        return f"monotone in {step.variable}: slope >= 0 by {step.slope}, {step.ordered}"
    if isinstance(step, Limit):
        return f"limit as {step.variable} -> {step.point}{step.direction}"
    if not step.by:
        return "both sides are the same expression"
    return "right - left = " + " + ".join(" * ".join(_factor_text(f) for f in term) for term in step.by)


def _factor_text(factor: Factor) -> str:
    if isinstance(factor, str):
        return f"[{factor}]"
    if isinstance(factor, SquaredNorm):
        return f"||{_vector_text(factor.vector)}||^2"
    expression = sp.sympify(factor)
    return sp.sstr(expression) if expression.is_Atom else f"({sp.sstr(expression)})"


def _signs(derivation: Derivation) -> Iterator[tuple[str, list[sp.Symbol]]]:
    """What is assumed of the symbols, inner products apart: a sign and who has it."""
    symbols = sorted((s for s in symbols_of(derivation) if not is_inner_product(s)), key=str)
    for sign in reversed(SIGNS):
        if having := [symbol for symbol in symbols if sign_of(symbol) == sign]:
            yield sign, having


def _witness_names(derivation: Derivation) -> str:
    try:
        names = [at.name for at in witnessed(derivation)]
    except Unusable:
        return "no point"
    others = len(names) - 1
    return names[0] + (f" and {others} other point{'s' if others > 1 else ''}" if others else "")


def link_text(given: Given) -> str:
    """Where an induction has its step and its base, or a lemma its proof; empty for other givens."""
    if isinstance(given.induction, Induction):
        moved = ", ".join(f"{key} -> {_value_text(new)}" for key, new in given.induction.next.items())
        first = ", ".join(f"{key} = {_value_text(new)}" for key, new in given.induction.start.items())
        base = f", by [{given.induction.base}]" if given.induction.base else ""
        return f"next, by [{given.induction.step}]: {moved}; at the start{base}: {first}"
    if isinstance(given.induction, Instance):
        at = ", ".join(f"{key} = {_value_text(new)}" for key, new in given.induction.at.items())
        return f"[{given.induction.of}] at {at}"
    if given.lemma is None:
        return ""
    at = ", ".join(f"{key} = {_value_text(new)}" for key, new in (given.lemma.at or {}).items())
    how = "in other words" if given.lemma.at is None else f"with {at}" if at else "as it stands"
    granted = "".join(f"; {name}: {why}" for name, why in given.lemma.granted.items())
    return f"[{given.lemma.step}] of {given.lemma.derivation}, {how}{granted}"


def _value_text(new: sp.Expr | Vector | int) -> str:
    return _vector_text(new) if isinstance(new, Vector) else sp.sstr(sp.sympify(new))


def _vector_text(vector: Vector) -> str:
    return " + ".join(f"({sp.sstr(c)})*{name}" if c != 1 else name for name, c in vector.parts) or "0"


def text_lines(derivation: Derivation, faults: Mapping[str, str]) -> Iterator[str]:
    """The derivation for the terminal. faults: by the name of the step, empty where it follows."""
    yield f"{derivation.id}: {derivation.title}"
    yield f"  derives   {', '.join(derivation.claims)}"
    if derivation.covers:
        yield f"  covers    {derivation.covers}"
    yield ""
    yield "given"
    for sign, symbols in _signs(derivation):
        yield f"  {', '.join(map(str, symbols))}: {sign}"
    for given in derivation.given:
        yield f"  [{given.name}] {sp.sstr(given.expression)} {given.sign} 0"
        yield f"      {given.kind}: {given.why}"
        if said := link_text(given):
            yield f"      {said}"
    yield ""
    yield "steps"
    for number, step in enumerate(derivation.steps, 1):
        mark = "BROKEN" if faults.get(step.name) else "follows"
        last = ", the statement" if step.name == derivation.conclusion else ""
        yield f"  {number}. [{step.name}] {mark}{last}"
        yield f"      {statement_text(step)}"
        yield f"      {certificate_text(step)}"
        if step.why:
            yield f"      {step.why}"
        if faults.get(step.name):
            yield f"      {faults[step.name]}"
    yield ""
    yield f"everything given holds, and every step is true, at {_witness_names(derivation)}"
    for meeting in derivation.meets:
        yield f"the code has the same formula: {meeting.name}, at {len(meeting.points)} points"
    for twin in derivation.twins:
        shown = "false, with a counterexample" if twin.counterexample is not None else "does not follow"
        yield f"broken twin: {twin.name}: {shown}"
    for remark in derivation.remarks:
        yield f"remark: {remark}"


def latex_lines(derivation: Derivation) -> Iterator[str]:
    """The derivation as a section of LaTeX."""
    names = derivation.latex_names
    yield rf"\section*{{{_plain(derivation.title)}}}"
    yield rf"\texttt{{{_plain(derivation.id)}}}, deriving " + ", ".join(
        rf"\texttt{{{_plain(claim)}}}" for claim in derivation.claims
    )
    yield r"\subsection*{Given}"
    yield r"\begin{itemize}"
    for sign, symbols in _signs(derivation):
        yield rf"\item ${', '.join(latex(symbol, names) for symbol in symbols)}$: {sign}"
    for given in derivation.given:
        formula = f"{latex(given.expression, names)} {RELATIONS[given.sign]} 0"
        yield rf"\item \emph{{{_plain(given.name)}}} ({given.kind}): ${formula}$. {_plain(given.why)}"
        if said := link_text(given):
            yield rf"\\ {_plain(said)}"
    yield r"\end{itemize}"
    yield r"\subsection*{Steps}"
    yield r"\begin{enumerate}"
    for step in derivation.steps:
        left, relation, right = step.statement
        yield rf"\item \emph{{{_plain(step.name)}}}. {_plain(step.why)}"
        yield rf"\[ {latex(left, names)} {RELATIONS[relation]} {latex(right, names)} \]"
        yield _certificate_latex(step, names)
    yield r"\end{enumerate}"


def _certificate_latex(step: AnyStep, names: Mapping[str, str]) -> str:
    if not isinstance(step, Step):
        return _plain(certificate_text(step))
    if not step.by:
        return "Both sides are the same expression."
    terms = " + ".join(r" \cdot ".join(_factor_latex(factor, names) for factor in term) for term in step.by)
    return rf"Right minus left is $ {terms} $."


def _factor_latex(factor: Factor, names: Mapping[str, str]) -> str:
    if isinstance(factor, str):
        return rf"[\text{{{_plain(factor)}}}]"
    if isinstance(factor, SquaredNorm):
        inside = " + ".join(
            (rf"\left({latex(c, names)}\right) " if c != 1 else "") + _symbol(name, names)
            for name, c in factor.vector.parts
        )
        return rf"\left\|{inside}\right\|^2"
    expression = sp.sympify(factor)
    return latex(expression, names) if expression.is_Atom else rf"\left({latex(expression, names)}\right)"


_SPECIAL = {c: "\\" + c for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
}


def _plain(text: str) -> str:
    """Text with the characters that LaTeX reserves written out."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
