"""What a report says, as plain values: HTML, Markdown and JSON are written from this and from nothing else.

Everything that changes from run to run (dates, seconds) stands under the names `made`, `seconds` and `total_seconds`.
"""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from experiments.verify.brackets import ConstantBracket, stored
from experiments.verify.routes import RUNS
from experiments.verify.verdict import AGREES, CLASS, Evidence, Verdict
from experiments.verify.verify import ClaimResult, Row
from theory.claim import Finding, Hypothesis, Measure, claims
from theory.derivation import derivations
from theory.left_out import LEFT_OUT
from theory.worst_case.estimation import CLASSES

from .figure import drawn_row

LIBRARIES = ("numpy", "scipy", "sympy", "scikit-learn", "numba", "llvmlite", "matplotlib")

LINES = 12
"""Of the table of a curve."""

SYMBOLS = {
    Verdict.CONSISTENT: "✓",
    Verdict.CONSISTENT_ESTIMATED: "✓",
    Verdict.EXACT: "=",
    Verdict.RATE_SEEN: "∼",
    Verdict.REFUTED_AS_STATED: "⊘",
    Verdict.CONJECTURE: "?",
    Verdict.OUTSIDE: "–",
    Verdict.INCONCLUSIVE: "◐",
    Verdict.VIOLATED: "✗",
}
"""Shape beside the word, for print and for the colour-blind."""

BOUNDS = {
    Measure.SUBOPTIMALITY: "E[f − f*]",
    Measure.DISTANCE: "E‖x − x*‖²",
    Measure.GRADIENT_AVERAGE: "mean E‖∇f‖²",
    Measure.SECOND_MOMENT: "E‖∇f_v‖²",
    Measure.PLATEAU: "f − f* at the end",
}
"""What the left side is, for a narrow column."""

ORDER = (Verdict.VIOLATED, Verdict.INCONCLUSIVE)
"""Of a table: what needs attention first."""


def report_content(results: Sequence[ClaimResult], about: dict[str, Any]) -> dict[str, Any]:
    """All that the report says. about: what the caller knows of the run, see `about_run`."""
    ordered = sorted(results, key=_attention)
    papers = list(dict.fromkeys(result.claim.source.paper for result in results))
    controls = [control for result in results for control in result.controls]
    return {
        "about": about,
        "summary": {
            "claims": len(results),
            "instances": sum(result.instances for result in results),
            "verdicts": _counted(results),
            "controls": len(controls),
            "controls_refuted": sum(control.refuted for control in controls),
            "attention": [result.claim.id for result in ordered if needs_attention(result)],
            "total_seconds": sum(result.seconds for result in results),
        },
        "papers": papers,
        "claims": [claim_content(result, papers) for result in ordered],
        "left_out": [
            {"paper": entry.paper, "statement": entry.statement, "reason": entry.reason, "place": entry.place}
            for entry in LEFT_OUT
        ],
    }


def needs_attention(result: ClaimResult) -> bool:
    """Not in agreement, or with a control that the check did not refute."""
    return result.verdict not in AGREES or not all(control.refuted for control in result.controls)


def _attention(result: ClaimResult) -> tuple[int, int]:
    rank = ORDER.index(result.verdict) if result.verdict in ORDER else len(ORDER)
    return (0 if needs_attention(result) else 1), rank


def _counted(results: Sequence[ClaimResult]) -> dict[str, int]:
    found = Counter(result.verdict for result in results)
    return {verdict.value: found[verdict] for verdict in Verdict if found[verdict]}


def about_run(
    *, ravine: str, commit: str | None, made: str, seed: int, profile: str, fingerprint: str, command: str, store: str
) -> dict[str, Any]:
    """Machine and versions, beside what the caller names. made: date and time. command: regenerates the report."""
    return {
        "ravine": ravine,
        "commit": commit,
        "made": made,
        "seed": seed,
        "profile": profile,
        "numbers": "float64",
        "fingerprint": fingerprint,
        "command": command,
        "store": store,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count() or 1,
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
            if hasattr(os, "sysconf")
            else None,
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def _processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


# -- one claim --


def claim_content(result: ClaimResult, papers: Sequence[str]) -> dict[str, Any]:
    """The card of one claim."""
    claim = result.claim
    worst = worst_row(result)
    return {
        "id": claim.id,
        "anchor": claim.id.replace("/", "-"),
        "title": claim.title,
        "kind": claim.kind.value,
        "paper": papers.index(claim.source.paper) + 1,
        "source": str(claim.source),
        "number": claim.source.number,
        "provenance": claim.source.provenance.value,
        "note": claim.source.note,
        "statement": claim.statement,
        "measured": claim.measure.value,
        "bounds": BOUNDS.get(claim.measure, "own quantity"),
        "method": claim.method,
        "remarks": list(claim.remarks),
        "corrected": claim.corrected,
        "verdict": result.verdict.value,
        "symbol": SYMBOLS[result.verdict],
        "agrees": result.verdict in AGREES,
        "attention": needs_attention(result),
        "reason": result.reason,
        "hypotheses": _hypotheses(result, worst),
        "constants": _constants(worst),
        "worst": None if worst is None else _worst(claim.id, worst),
        "named_constants": claim.named_constants,
        "sharpness": [{**sharp.as_json(), "command": _command(claim.id, sharp.replay)} for sharp in result.sharpness],
        "brackets": [_bracket(bracket) for bracket in stored(claim.id)],
        "derivations": [
            {"id": d.id, "title": d.title, "steps": len(d.steps), "covers": d.covers} for d in derivations.of(claim.id)
        ],
        "routes": _routes(result),
        "controls": [
            {
                "name": control.name,
                "refuted": control.refuted,
                "by": control.by,
                "instance": control.evidence.instance,
                "key": control.row.key,
                "route": control.row.route,
            }
            for control in result.controls
        ],
        "instances": [_instance(claim.id, row) for row in result.rows],
        "seconds": result.seconds,
    }


def _bracket(bracket: ConstantBracket) -> dict[str, Any]:
    """One constant over a whole class; sides that are not known are null."""
    return {
        **{name: value for name, value in asdict(bracket).items() if name != "claim"},
        "certified": bracket.certified if math.isfinite(bracket.certified) else None,
        "refuted": bracket.refuted if math.isfinite(bracket.refuted) else None,
        "ball": bracket.ball if math.isfinite(bracket.ball) else None,
        "width": bracket.width if math.isfinite(bracket.width) else None,
        "class": CLASSES[bracket.function_class],
        "strengthened_by": "larger" if bracket.up else "smaller",
    }


def worst_row(result: ClaimResult) -> Row | None:
    """The row that the card shows: the drawn one, or where nothing can be drawn the closest to its bound."""
    drawn = drawn_row(result.evidence)
    chosen = drawn if drawn is not None else result.worst
    return next((row for row in result.rows if row.evidence is chosen), None)


def _command(claim_id: str, replay: str) -> str:
    return claims.replay_command(claim_id, replay) if replay else ""


def _hypotheses(result: ClaimResult, worst: Row | None) -> list[dict[str, Any]]:
    """Each hypothesis in words, and what it found on the instance shown."""
    stated = list(result.claim.hypotheses)
    if worst is None or worst.case is None:
        return [{"text": hypothesis.text, "found": None} for hypothesis in stated]
    return [{"text": h.text, "found": _finding(h, h.find(worst.case.facts))} for h in stated]


def _finding(hypothesis: Hypothesis, finding: Finding) -> dict[str, Any]:
    showable = math.isfinite(finding.margin) and finding.limit != 0 and finding.relation != "="
    return {
        "name": finding.hypothesis,
        "value": finding.value,
        "relation": finding.relation,
        "limit": finding.limit,
        "margin": finding.margin if showable else None,
        "holds": finding.holds,
        "limits_the_step": hypothesis.step_limit,
    }


def _constants(worst: Row | None) -> list[dict[str, Any]]:
    """The constants that the bound may read on the instance shown, each with its grade."""
    if worst is None or worst.case is None:
        return []
    facts = worst.case.facts
    return [
        {"name": name, "value": float(getattr(facts, name)), "grade": grade.value}
        for name, grade in facts.grades.items()
    ]


def _instance(claim_id: str, row: Row) -> dict[str, Any]:
    return {**row.evidence.as_json(), "command": _command(claim_id, row.evidence.replay), **_kept(row)}


def _kept(row: Row) -> dict[str, str]:
    """Where the store keeps a row. `route` of the evidence is its name for people."""
    return {"key": row.key, "stored_route": row.route}


def _worst(claim_id: str, row: Row) -> dict[str, Any]:
    evidence = row.evidence
    return {
        **_instance(claim_id, row),
        "claim": claim_id,
        "steps": row.case.steps if row.case is not None else None,
        "is_run": evidence.route in RUNS,
        "t": evidence.abscissa.tolist(),
        "measured_curve": evidence.measured_curve.tolist(),
        "bound_curve": evidence.bound_curve.tolist(),
        "error_curve": evidence.error_curve.tolist(),
        "lines": curve_lines(evidence),
    }


def curve_lines(evidence: Evidence) -> list[dict[str, float | None]]:
    """t, measured, bound, measured/bound and the local slope d ln measured/d ln t, thinned to LINES."""
    kept = np.flatnonzero(np.isfinite(evidence.measured_curve))
    if len(kept) == 0:
        return []
    picked = kept[np.unique(np.linspace(0, len(kept) - 1, min(LINES, len(kept))).astype(int))]
    found: list[dict[str, float | None]] = []
    before: tuple[float, float] | None = None
    for k in picked:
        t, measured, bound = (
            float(part[k]) for part in (evidence.abscissa, evidence.measured_curve, evidence.bound_curve)
        )
        slope = None
        if before is not None and before[0] > 0 and t > before[0] and measured > 0 and before[1] > 0:
            slope = math.log(measured / before[1]) / math.log(t / before[0])
        found.append(
            {
                "t": t,
                "measured": measured,
                "error": float(evidence.error_curve[k]),
                "bound": bound if math.isfinite(bound) else None,
                "ratio": measured / bound if math.isfinite(bound) and bound != 0 else None,
                "slope": slope,
            }
        )
        before = t, measured
    return found


def _routes(result: ClaimResult) -> list[dict[str, Any]]:
    """One line a route of evidence: how many instances, what it found, to how many digits, at what cost."""
    lines = []
    for name in dict.fromkeys(row.evidence.route for row in result.rows):
        rows = [row for row in result.rows if row.evidence.route == name]
        evidence = [row.evidence for row in rows]
        ratios = [e.ratio for e in evidence if math.isfinite(e.ratio) and len(e.abscissa)]
        lines.append(
            {
                "route": name,
                "instances": len({e.instance for e in evidence}),
                "verdicts": dict(Counter(e.verdict.value for e in evidence)),
                "ratio": max(ratios) if ratios else None,
                "replicates": max(e.replicates for e in evidence),
                "digits": _digits(evidence),
                "reasons": sorted(
                    {e.reason for e in evidence if e.verdict is Verdict.INCONCLUSIVE or e.origin == CLASS}
                ),
                "seconds": sum(row.seconds for row in rows),
            }
        )
    return lines


def _digits(evidence: Sequence[Evidence]) -> str:
    """To how many digits both sides of an equality agree; for bounds, to how many the measured value is known."""
    sampled = [e for e in evidence if e.replicates > 1]
    if sampled:
        parts = [e.error / abs(e.measured) for e in sampled if e.measured != 0 and math.isfinite(e.measured)]
        return f"standard error up to {max(parts):.2g} of the mean" if parts else ""
    exact = [e for e in evidence if e.verdict is Verdict.EXACT]
    if exact:
        return _agreement(exact)
    known = [e.error / abs(e.measured) for e in evidence if math.isfinite(e.measured) and e.measured != 0]
    known = [part for part in known if 0 < part < 1]
    return f"measured to at least {math.floor(-math.log10(max(known)))} digits" if known else ""


def _agreement(exact: Sequence[Evidence]) -> str:
    measured = np.concatenate([e.measured_curve for e in exact])
    stated = np.concatenate([e.bound_curve for e in exact])
    if np.isin(stated, (0.0, 1.0)).all():
        return f"{len(stated):,} of {len(stated):,} decisions alike" if (measured == stated).all() else ""
    # Entries that vanish next to the others of their row agree absolutely, not in digits.
    size = np.concatenate([np.full(len(e.bound_curve), np.abs(e.bound_curve).max(initial=0.0)) for e in exact])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(measured - stated) / size
    apart = apart[np.isfinite(apart)]
    if len(apart) == 0:
        return ""
    largest = float(apart.max())
    return f"both sides agree to {min(16, math.floor(-math.log10(largest))) if largest > 0 else 16} digits"
