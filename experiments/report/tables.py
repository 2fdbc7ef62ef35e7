"""Tables for the terminal; colour never carries meaning alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from experiments.verify.check import CheckResult, Prepared
from experiments.verify.class_wide import WORST_CASE
from experiments.verify.routes import RUNS, UNAVAILABLE
from experiments.verify.verdict import AGREES, CLASS, Evidence, Verdict
from experiments.verify.verify import ClaimResult, worst_of
from experiments.verify.written_proof import CHECKED, DERIVATION
from theory.claim import claims


def number(value: float) -> str:
    """A measured number, three significant digits."""
    return f"{value:.3g}" if np.isfinite(value) else "-"


def styled(verdict: Verdict) -> str:
    """The verdict's word, coloured."""
    colour = "green" if verdict in AGREES else "red" if verdict is Verdict.VIOLATED else "yellow"
    return f"[{colour}]{verdict.value}[/{colour}]"


def _shown(rows: Sequence[Evidence]) -> Evidence | None:
    decided = [row for row in rows if not row.reason.startswith(UNAVAILABLE)]
    runs = [row for row in decided if row.route in RUNS]
    return worst_of(runs or [row for row in decided if not row.route.startswith("exact one-step")] or decided)


_ROUTES = {
    "exact one-step expectation": "exact step",
    "exact expectation at points": "exact mean",
    "exact second moments of v": "exact mean",
    "exact moments": "exact moments",
    "exact stationary moments": "stationary",
    "exact sample paths": "exact paths",
    "exact two-cycle equation": "exact cycle",
    "search": "search",
    "deterministic run": "run",
    "Monte Carlo": "Monte Carlo",
}


def verify_lines(results: Sequence[ClaimResult]) -> Iterator[str]:
    """Console markup, 80 columns: each claim with its verdict, below it one line for each kind of problem with the row
    that comes closest to its bound."""
    yield f"[bold]{'claim':<38}{'verdict':<20}controls refuted[/bold]"
    yield f"[bold]{'  problems':<16}{'shown by':<21}{'t':>8} {'measured':>10} {'bound':>10} {'ratio':>8}[/bold]"
    yield "─" * 78
    for result in results:
        refuted = f"{sum(c.refuted for c in result.controls)} of {len(result.controls)}"
        gap = " " * (20 - len(result.verdict.value))
        yield f"{result.claim.id:<38}{styled(result.verdict)}{gap}{refuted}"
        for origin in ("synthetic", "tight", "data", "corpus"):
            rows = [e for e in result.evidence if e.origin == origin]
            row = _shown(rows)
            if row is None:
                continue
            problems = f"  {len({e.instance for e in rows})} {origin}"
            copies = f", R={row.replicates}" if row.replicates > 1 else ""
            method = shorten(_ROUTES.get(row.route, row.route), 20 - len(copies), placeholder="\u2026") + copies
            t = f"{row.at:.0f}" if row.route in RUNS and np.isfinite(row.at) else "-"
            ratio = f"{row.ratio:.4f}" if np.isfinite(row.ratio) else "-"
            yield f"{problems:<16}{method:<21}{t:>8} {number(row.measured):>10} {number(row.bound):>10} {ratio:>8}"
        yield from _class_lines(result)


def _class_lines(result: ClaimResult) -> Iterator[str]:
    """What was said of every instance at once: derivations, worst cases over a class."""
    proofs = [e for e in result.evidence if e.origin == CLASS and e.route == DERIVATION]
    if proofs:
        good = sum(e.verdict is Verdict.CONSISTENT for e in proofs)
        said = CHECKED if good == len(proofs) else f"{good} of {len(proofs)} derivations hold"
        yield f"  {'every instance':<16}{said}"
    for row in (e for e in result.evidence if e.origin == CLASS and e.route == WORST_CASE):
        yield f"  {'every function':<16}{shorten(row.reason, 62, placeholder='…')}"


def sharpness_lines(results: Sequence[ClaimResult]) -> Iterator[str]:
    """The sharpness profile of each claim: a constant a line, with the command that repeats its instance."""
    yield ""
    yield "sharpness: how much stronger each named constant could be, and the instance that stops it"
    for result in results:
        for sharp in result.sharpness:
            sampled = f" [{sharp.scale.low:.4g}, {sharp.scale.high:.4g}]" if sharp.sampled else ""
            yield f"{result.claim.id}  {sharp.constant} {sharp.scale.sharpest:.4g}{sampled}: {sharp.sentence}"
            if sharp.replay:
                yield f"  {claims.replay_command(result.claim.id, sharp.replay)}"


def constants_table(prepared: Prepared) -> Table:
    """Every constant that the bound reads, with its grade."""
    facts = prepared.facts
    meaning = {
        "mu": "Polyak-Lojasiewicz constant of f",
        "L_f": "Lipschitz constant of grad f",
        "L_S": "largest Lipschitz constant of a sampled gradient",
        "L_max": "largest L_i",
        "L_avg": "mean L_i",
        "A": f"expected residual ({facts.er_route})",
        "B": "expected residual",
        "C": "expected residual",
        "variance": "largest variance of a sampled gradient",
    }
    if facts.deterministic or not np.isfinite(facts.variance):
        del meaning["variance"]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), title="constants", title_justify="left")
    for heading in ("name", "value", "grade", "meaning"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for name, text in meaning.items():
        table.add_row(name, f"{getattr(facts, name):.6g}", facts.grades[name].value, text)
    table.add_row("gap0", f"{facts.gap0:.6g}", "exact", "f(x_0) - f*")
    return table


def hypotheses_table(prepared: Prepared) -> Table:
    """Each hypothesis with the value found, the limit and the margin."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), title="hypotheses", title_justify="left")
    table.add_column("hypothesis", overflow="fold")
    for heading in ("value", "", "limit", "margin", "holds"):
        table.add_column(heading, justify="right")
    for finding in prepared.findings:
        margin = finding.margin
        table.add_row(
            finding.hypothesis,
            f"{finding.value:.6g}",
            finding.relation,
            f"{finding.limit:.6g}",
            f"{margin:+.1%}" if np.isfinite(margin) and finding.limit != 0 and finding.relation != "=" else "-",
            "yes" if finding.holds else "[red]NO[/red]",
        )
    return table


def curve_table(result: CheckResult, most: int = 16) -> Table | None:
    """The measured curve beside the bound, thinned to `most` times; None when there was no run."""
    row = result.run
    if row is None:
        return None
    error = "s.e." if row.replicates > 1 else "floor"
    title = f"{result.prepared.claim.measure.value}, by {row.route}"
    title += f" with {row.replicates} replicates" if row.replicates > 1 else ""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), title=escape(title), title_justify="left")
    for heading in ("t", "measured", error, "bound", "measured/bound"):
        table.add_column(heading, justify="right")
    picked = np.unique(np.linspace(0, len(row.abscissa) - 1, min(most, len(row.abscissa))).astype(int))
    for k in picked:
        bound = row.bound_curve[k]
        table.add_row(
            str(row.abscissa[k]),
            f"{row.measured_curve[k]:.6g}",
            f"{row.error_curve[k]:.1e}",
            f"{bound:.6g}" if np.isfinite(bound) else "none yet",
            f"{row.measured_curve[k] / bound:.4f}" if np.isfinite(bound) and bound > 0 else "-",
        )
    return table
