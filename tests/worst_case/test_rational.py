"""Certificates and counterexamples in rational numbers: what is kept verifies, what is broken is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems.errors import InputError
from problems.problem import problems
from theory.worst_case.rational import (
    FOLDER,
    MINIMISER,
    NEXT,
    PAIRS,
    PERTURBED,
    Certificate,
    Counterexample,
    Refused,
    Steps,
    X,
    closed_form,
    negative_pivot,
    stored,
)
from theory.worst_case.rational_search import refuting, searched

KEPT = stored()
CERTIFICATES = [kept for kept in KEPT if isinstance(kept, Certificate)]
COUNTEREXAMPLES = [kept for kept in KEPT if isinstance(kept, Counterexample)]
THOUSANDTH = Fraction(1, 1000)

reproducible = settings(derandomize=True, deadline=None, max_examples=60)
parts = st.fractions(min_value=Fraction(1, 50), max_value=Fraction(49, 50), max_denominator=50)
radii = st.fractions(min_value=Fraction(1, 50), max_value=30, max_denominator=50)
stretches = st.fractions(min_value=Fraction(1, 50), max_value=2, max_denominator=50)


def named(kept: Certificate | Counterexample) -> str:
    """A short name of a parametrised test."""
    at = kept.steps
    return f"{kept.measured}: mu={at.mu}, gamma={at.gamma}, rho={at.rho}"


def steps(mu: str, gamma: str, rho: str) -> Steps:
    return Steps(Fraction(mu), Fraction(1), Fraction(gamma), Fraction(rho))


def test_what_is_kept_verifies() -> None:
    assert [len(CERTIFICATES), len(COUNTEREXAMPLES)] == [11, 3]
    for kept in KEPT:
        kept.verify()
    assert all(kept.rate == kept.steps.factor + THOUSANDTH for kept in CERTIFICATES)
    assert all(kept.rate == 1 > kept.steps.factor for kept in COUNTEREXAMPLES)


@pytest.mark.parametrize("kept", CERTIFICATES, ids=named)
def test_a_broken_certificate_is_refused(kept: Certificate) -> None:
    for pair, multiplier in kept.multipliers.items():
        with pytest.raises(Refused, match="do not cancel"):
            replace(kept, multipliers={**kept.multipliers, pair: multiplier + THOUSANDTH}).verify()
        with pytest.raises(Refused, match="below 0"):
            replace(kept, multipliers={**kept.multipliers, pair: -multiplier}).verify()
    with pytest.raises(Refused):
        replace(kept, rate=kept.steps.factor).verify()
    with pytest.raises(Refused, match="no inequality"):
        replace(kept, multipliers={**kept.multipliers, (X, X): Fraction(1)}).verify()
    # A round trip x* -> x -> x* leaves the values alone: only the form shows that something is missing.
    without = {pair: Fraction(0) for pair in PAIRS} | dict(kept.multipliers)
    for pair in ((X, PERTURBED), (PERTURBED, X)):
        without[pair] -= min(kept.multipliers[(X, PERTURBED)], kept.multipliers[(PERTURBED, X)])
    if kept.measured == "suboptimality":
        with pytest.raises(Refused, match="no sum of squares"):
            replace(kept, multipliers=without).verify()


@pytest.mark.parametrize("kept", COUNTEREXAMPLES, ids=named)
def test_a_broken_counterexample_is_refused(kept: Counterexample) -> None:
    assert kept.ratio > 1 + THOUSANDTH
    assert len(kept.vectors[0]) == 2
    with pytest.raises(Refused, match="not more than"):
        replace(kept, rate=kept.ratio).verify()
    for k in range(3):
        values = tuple(value + (Fraction(1, 10) if k == m else 0) for m, value in enumerate(kept.values))
        with pytest.raises(Refused, match="no function of the class"):
            replace(kept, values=values).verify()
    with pytest.raises(Refused, match="no function of the class"):
        replace(kept, steps=replace(kept.steps, mu=2 * kept.steps.mu)).verify()
    # Its f decreases as the theorem says.
    assert 0 < kept.values[2] <= kept.steps.factor * kept.values[0]


def test_a_counterexample_to_the_theorem_is_refused() -> None:
    for kept in COUNTEREXAMPLES:
        with pytest.raises(Refused, match="not more than"):
            replace(kept, measured="suboptimality", rate=kept.steps.factor).verify()


@reproducible
@given(parts, radii, stretches)
def test_the_closed_form_certifies_the_factor_itself(mu: Fraction, rho: Fraction, stretch: Fraction) -> None:
    """At any rational steps, up to twice the range: the written proof, cell by cell, in rational numbers."""
    here = Steps(mu, Fraction(1), stretch * 2 / (1 + rho), rho)
    found = closed_form(here)
    assert found.rate == here.factor
    found.verify()
    # Half of the multipliers between x and y leaves the values alone, and is not enough.
    fewer = {pair: c / 2 if PERTURBED in pair else c for pair, c in found.multipliers.items()}
    with pytest.raises(Refused, match="no sum of squares"):
        replace(found, multipliers=fewer).verify()
    # Nor is any rate below: the values no longer cancel, and a round trip from x to x* does not mend it.
    with pytest.raises(Refused):
        replace(found, rate=found.rate - Fraction(1, 10**9)).verify()


def test_the_multipliers_of_the_closed_form() -> None:
    found = closed_form(steps("1/10", "1/2", "2"))
    a = 1 - Fraction(1, 2) * Fraction(1, 10) * (1 + Fraction(2, 10))
    both = a * Fraction(1, 4)
    assert found.multipliers == {
        (X, NEXT): a, (MINIMISER, X): a * (1 - a), (MINIMISER, NEXT): 1 - a,
        (X, PERTURBED): both, (PERTURBED, X): both,
    }  # fmt: skip
    assert closed_form(steps("1/10", "3/2", "1")).multipliers[(X, MINIMISER)] == 3  # a = 2
    with pytest.raises(InputError, match="rho must be > 0"):
        closed_form(steps("1/10", "1/2", "0"))


@pytest.mark.parametrize("spec", ["log-cosh-ridge:d=2,rows=3,alpha=0.2,seed=5", "quadratic:d=3,mu=0.2,L=1,seed=1"])
def test_the_inequalities_hold_on_functions(spec: str) -> None:
    """The forms against gradients and values of a function, in floating point."""
    problem = problems.build(spec)
    rng = np.random.default_rng(0)
    gamma, rho = Fraction(1, 3), Fraction(1, 2)
    # Rounded outwards, so that the function is of the class.
    mu = Fraction(int(problem.strong_convexity * 1000), 1000)
    here = Steps(mu, Fraction(int(problem.L.value * 1000) + 1, 1000), gamma, rho)
    for _ in range(100):
        x = rng.standard_normal(problem.d) * 10 ** rng.uniform(-1, 1)
        centre = np.asarray(problem.minimiser)
        g = problem.gradient(centre + x)
        y = x + float(rho) * g
        h = problem.gradient(centre + y)
        after = x - float(gamma) * h
        vectors = np.array([x, g, h, problem.gradient(centre + after)])
        gram = vectors @ vectors.T
        value = dict(zip((X, PERTURBED, NEXT), (problem.gap(centre + z) for z in (x, y, after)), strict=True))
        value[MINIMISER] = 0.0
        for i, j in PAIRS:
            least = float((np.array(here.form(i, j), dtype=float) * gram).sum())
            # Products of numbers of size |x|^2, a few dozen roundings of them.
            assert value[i] - value[j] >= least - 1e-13 * (1 + np.trace(gram))


def test_the_inequalities_are_equalities_on_both_ends_of_the_spectrum() -> None:
    here = steps("1/10", "1/2", "2")
    for curvature in (here.mu, here.L):
        at = {name: row[0] + curvature * (row[1] + row[2] * (1 + here.rho * curvature))
              for name, row in here.positions.items()}  # fmt: skip
        vector = (Fraction(1), curvature, curvature * at[PERTURBED], curvature * at[NEXT])
        for i, j in PAIRS:
            form = here.form(i, j)
            least = sum(form[k][m] * vector[k] * vector[m] for k in range(4) for m in range(4))
            assert curvature / 2 * (at[i] ** 2 - at[j] ** 2) == least


def test_exact_semidefiniteness_agrees_with_eigenvalues() -> None:
    rng = np.random.default_rng(2)
    for rank in (1, 2, 3, 4):
        factors = rng.integers(-3, 4, (rank, 4))
        square = factors.T @ factors
        form = tuple(tuple(Fraction(int(entry)) for entry in row) for row in square)
        assert negative_pivot(form) is None
        worse = tuple(tuple(entry - Fraction(k == m, 10**12) for m, entry in enumerate(r)) for k, r in enumerate(form))
        # A singular form loses semidefiniteness by any amount; this one is too small for floating point to see.
        singular = np.linalg.matrix_rank(square) < 4
        assert (negative_pivot(worse) is not None) == singular
    assert "beside entries" in str(negative_pivot(((Fraction(0), Fraction(1)), (Fraction(1), Fraction(5)))))
    assert "pivot 1 is -1" in str(negative_pivot(((Fraction(-1),),)))


def test_a_search_finds_certificates_above_the_worst_case_only() -> None:
    here = steps("1/10", "3/4", "2/3")
    for measured in ("suboptimality", "distance"):
        found = searched(here, here.factor + THOUSANDTH, measured)
        found.verify()
        assert found.measured == measured
        with pytest.raises(InputError, match="rate must exceed the worst case"):
            searched(here, here.factor - THOUSANDTH, measured)


def test_a_search_finds_counterexamples_below_the_worst_case_only() -> None:
    here = steps("1/10", "1/2", "1/2")
    found = refuting(here, here.factor - THOUSANDTH, "suboptimality")
    found.verify()
    with pytest.raises(InputError, match="rate must be below the worst case"):
        refuting(here, here.factor, "suboptimality")
    with pytest.raises(InputError, match="rate must be below the worst case"):
        refuting(here, here.factor)  # at this radius distances obey the factor, as far as a solver sees


def test_what_is_kept_is_written_as_it_is_read(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.json"):
        (tmp_path / file.name).write_text(json.dumps([kept.as_json() for kept in stored_in(file)]), encoding="utf-8")
    assert stored(tmp_path) == KEPT


def stored_in(file: Path) -> list[Certificate | Counterexample]:
    names = sorted(FOLDER.glob("*.json"))
    sizes = [len(json.loads(name.read_text(encoding="utf-8"))) for name in names]
    start = sum(sizes[: names.index(file)])
    return KEPT[start : start + sizes[names.index(file)]]


@pytest.mark.parametrize(
    "content",
    [
        "[",
        '[{"shows": "certificate"}]',
        '[{"shows": "certificate", "measured": "f", "steps": {"mu": "1/2", "L": "1", "gamma": "1", "rho": "0"}, '
        '"rate": "1", "multipliers": []}]',
        '[{"shows": "certificate", "measured": "distance", "steps": {"mu": "1/0", "L": "1", "gamma": "1", "rho": "0"}, '
        '"rate": "1", "multipliers": []}]',
    ],
)
def test_a_file_that_is_no_list_of_certificates_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="is no list of certificates"):
        stored(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "match"),
    [
        (("1", "1", "1", "0"), "mu must be > 0 and < L = 1, got 1"),
        (("0", "1", "1", "0"), "mu must be > 0"),
        (("1/2", "1", "0", "0"), "gamma must be > 0, got 0"),
        (("1/2", "1", "1", "-1/3"), "rho must be >= 0, got -1/3"),
    ],
)
def test_steps_outside_their_ranges_are_refused(numbers: tuple[str, str, str, str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Steps(*(Fraction(number) for number in numbers))
