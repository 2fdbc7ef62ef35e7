"""The bounds where they are sharpest: Hypothesis moves towards the instance that leaves a named constant least room."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings, target
from hypothesis import strategies as st

from experiments.verify.case import Case
from experiments.verify.critical import badness, sharpest
from experiments.verify.search import VIOLATION
from experiments.verify.verdict import Critical
from problems.quadratics import FiniteSumOfQuadratics
from tests.property.test_bounds import admissible, cases, lams, laws, parts, sums
from theory.claim import Claim, Scale, claims
from theory.samplings import full, samplings
from theory.setting import Setting, make_setting

STEPS = 20
"""Horizon of the runs."""

SPECIAL = {"pl-deterministic": "full", "pl-interpolation": "interpolation", "importance-sampling": "importance"}
"""Claims that hold on a part of what the shared strategies draw."""

CLAIMS = (
    "sgd/pl",
    "unified-sam/er-constants",
    "unified-sam/pl-constant",
    "unified-sam/pl-sharp",
    "unified-sam/pl-decreasing",
    "unified-sam/nonconvex",
    "unified-sam/nonconvex-sharp",
    *(f"unified-sam/{name}" for name in SPECIAL),
)


@st.composite
def special_cases(draw: st.DrawFn, kind: str) -> tuple[Setting, float, float]:
    """As the shared cases: with the full batch, with all components minimal at one point, or importance sampling."""
    problem = draw(sums())
    parts_of = problem.quadratic_components()
    assert parts_of is not None
    H, g = parts_of
    if kind == "interpolation":
        problem = FiniteSumOfQuadratics.from_components(H, np.zeros_like(g), name="drawn sum")
    if kind == "importance":
        problem = FiniteSumOfQuadratics.from_components(np.abs(H), g, name="drawn sum")
    law = draw(laws(problem.n)) if kind == "interpolation" else full(problem.n)
    sampling = samplings.build("importance", problem=problem) if kind == "importance" else law
    assert problem.minimiser is not None
    x0 = problem.minimiser + draw(st.sampled_from([1e-6, 1e-3, 1.0, 1e3])) * np.ones(problem.d)
    return make_setting(problem, sampling=sampling, lam=draw(lams), x0=x0), draw(parts), draw(parts)


def drawn(claim_id: str) -> st.SearchStrategy[tuple[Setting, float, float]]:
    kind = SPECIAL.get(claim_id.split("/")[1])
    return special_cases(kind) if kind else cases()


EXAMPLES = settings().max_examples


class ViolatedError(AssertionError):
    """The unscaled bound fails."""


def violated(scale: Critical) -> bool:
    return scale.low < 1 - VIOLATION if scale.up else scale.high > 1 + VIOLATION


def property_of(claim: Claim, names: tuple[str, ...], examples: int, seen: list[float]) -> Callable[[], None]:
    """No instance violates the claim, looked for where the critical scales of the named constants are sharpest."""

    @settings(max_examples=examples, database=None, phases=(Phase.generate, Phase.target), report_multiple_bugs=False)
    @given(case=drawn(claim.id))
    def holds(case: tuple[Setting, float, float]) -> None:
        found = admissible(claim.id, *case)
        if found is None:
            return
        setting, facts = found
        for name in names:
            scale = sharpest(Case(claim, setting, facts, STEPS), name)
            if scale is None or math.isnan(scale[0].sharpest):
                continue
            seen.append(scale[0].sharpest)
            # Rates and step limits are sharper where their critical scale is smaller, parts of a bound where larger.
            target(float(np.clip(-badness(scale[0]), -1e6, 1e6)), label=name)
            if violated(scale[0]):
                raise ViolatedError(f"{claim.id}: {name} at {scale[0].sharpest} by {scale[1]}: {setting}")

    return holds


@pytest.mark.parametrize("claim_id", CLAIMS)
def test_no_constant_can_be_exceeded(claim_id: str) -> None:
    claim, seen = claims[claim_id], []  # type: ignore[var-annotated]
    property_of(claim, tuple(claim.constants), EXAMPLES // 2, seen)()
    assert len(seen) >= 20


@pytest.mark.parametrize("claim_id", [c for c in CLAIMS if "step_limit" in claims[c].named_constants])
def test_no_step_limit_can_be_exceeded(claim_id: str) -> None:
    seen: list[float] = []
    property_of(claims[claim_id], ("step_limit",), EXAMPLES // 8, seen)()
    assert len(seen) >= 3 or claim_id == "unified-sam/pl-decreasing"


def scaled(claim: Claim, name: str, factor: float) -> Claim:
    """The claim with one constant wrong by a factor."""

    def wrong(scale: Scale) -> Scale:
        return {**scale, name: factor * scale.get(name, 1.0)}

    curve, one_step, at_points = claim.curve, claim.one_step, claim.at_points
    return replace(
        claim,
        curve=curve and (lambda f, t, s: curve(f, t, wrong(s))),
        one_step=one_step and (lambda f, gap, norm2, t, s: one_step(f, gap, norm2, t, wrong(s))),
        at_points=at_points and (lambda f, gap, norm2, s: at_points(f, gap, norm2, wrong(s))),
    )


@pytest.mark.parametrize(
    ("claim_id", "name", "factor"),
    [
        ("sgd/pl", "rate", 1.3),
        ("sgd/pl", "neighbourhood", 0.5),
        ("unified-sam/er-constants", "A", 0.9),
        ("unified-sam/pl-constant", "rate", 3.0),
        ("unified-sam/pl-constant", "neighbourhood", 0.35),
        ("unified-sam/pl-sharp", "rate", 8.0),
        ("unified-sam/pl-decreasing", "start", 0.1),
        ("unified-sam/nonconvex", "descent", 0.7),
        ("unified-sam/nonconvex-sharp", "all", 0.3),
    ],
)
def test_the_property_can_fail(claim_id: str, name: str, factor: float) -> None:
    """With a wrong constant Hypothesis finds an instance that shows it."""
    wrong = scaled(claims[claim_id], name, factor)
    with pytest.raises(ViolatedError, match=name):
        property_of(wrong, (name,), 3 * EXAMPLES, [])()
