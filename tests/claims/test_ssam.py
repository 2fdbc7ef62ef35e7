"""SSAM, unnormalised SAM and SAM: the numbers of the claims, by formulas written again in NumPy, and their traps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from mpmath import mp, mpf

from experiments.verify.check import prepare, run_check
from experiments.verify.trials import EngineLab
from experiments.verify.verdict import CLASS, Verdict
from experiments.verify.verify import verify
from problems.errors import InputError
from problems.logcosh import log_cosh
from problems.pl import certified_pl_constant
from problems.problem import Matrix, Vector, problems
from theory.claim import Kind, OutsideHypotheses, claims
from theory.claims import ssam_contraction, ssam_glm, ssam_range, ssam_saddle, ssam_stability
from theory.families import given, instance_of
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import facts_of, make_setting
from theory.ssam import (
    NORMALISED,
    UNNORMALISED,
    decrease,
    kantorovich,
    monotonicity,
    plain_cosine,
    smooth_cosine,
    widest_radius,
    with_method,
    worst_cosine,
)
from theory.trial import NotMeasurable

WANTED = {
    "ssam/glm-is-sgd": Verdict.EXACT,
    "ssam/normalised-rate": Verdict.CONSISTENT,
    "ssam/pl-rate": Verdict.CONSISTENT,
    "ssam/quadratic-rate": Verdict.CONSISTENT,
    "ssam/saddle": Verdict.EXACT,
    "ssam/stability-exponent": Verdict.RATE_SEEN,
    "ssam/stability-floor": Verdict.CONSISTENT,
    "ssam/stability-upper": Verdict.CONSISTENT,
    "ssam/step-range": Verdict.EXACT,
    "ssam/usam-contraction": Verdict.CONSISTENT,
    "ssam/usam-expansive": Verdict.REFUTED_AS_STATED,
    "ssam/usam-glm-step": Verdict.EXACT,
    "ssam/usam-pl-rate": Verdict.CONSISTENT,
    "ssam/usam-stability": Verdict.CONSISTENT,
}


def gradient_step(rule: str, H: Matrix, x: Vector, gamma: float, rho: float) -> Vector:
    """One step on x'Hx/2, as the rules stand on paper."""
    g = H @ x
    size = float(np.linalg.norm(g))
    ascent = {"sgd": 0.0, "usam": rho, UNNORMALISED: rho, "sam": rho / size, NORMALISED: rho / size}[rule]
    ga = H @ (x + ascent * g)
    return np.asarray(x - gamma * (size / np.linalg.norm(ga) * ga if rule in (UNNORMALISED, NORMALISED) else ga))


# -- the catalogue --


def test_every_claim_of_the_block_is_listed_here() -> None:
    assert {name for name in claims if name.startswith("ssam/")} == set(WANTED)


@pytest.mark.parametrize("seed", [0, 1])
def test_verdicts_and_controls(seed: int) -> None:
    for result in verify(sorted(WANTED), seed=seed):
        assert result.verdict is WANTED[result.claim.id], (result.claim.id, result.reason)
        assert all(control.refuted for control in result.controls), (result.claim.id, result.controls)
        again = [e for e in result.evidence if e.replay or e.origin == CLASS]
        assert len(again) == len(result.evidence), result.claim.id


@pytest.mark.parametrize("claim_id", sorted(set(WANTED) - {"ssam/usam-expansive"}))
def test_replay_lines_give_the_same_setting(claim_id: str) -> None:
    claim = claims[claim_id]
    for family in claim.families:
        instance = family.draw(np.random.default_rng(3), claim)
        again = instance_of(claim, instance.replay)
        assert again.setting.method.name == instance.setting.method.name
        assert again.replay == instance.replay
        np.testing.assert_array_equal(again.setting.x0, instance.setting.x0)
        assert facts_of(again.setting).gamma.largest == facts_of(instance.setting).gamma.largest


# -- the function of the counterexample --


def test_log_cosh_is_accurate_near_zero_and_far_away() -> None:
    mp.dps = 40
    for z in (0.0, 1e-140, 1e-9, 1e-3, 0.5, 0.999, 1.0, 1.5, 30.0, 400.0, 1e200):
        true = mpf(z) ** 2 / 2 if z < 1e-8 else mp.log(mp.cosh(mpf(z))) if z < 1e4 else mpf(z) - mp.log(2)
        for sign in (-1.0, 1.0):
            # log1p and sinh are good to an ulp or two, and sums of two positive terms add one more.
            assert abs(mpf(log_cosh(sign * z)) - true) <= 4e-16 * true, z


def test_log_cosh_sum_derivatives_and_constants() -> None:
    rng = np.random.default_rng(1)
    problem = problems.build("log-cosh:a=1/0/2@0.5/-1/0,k=2/3,b=1/-1")
    A, k, b = np.array([[1, 0, 2], [0.5, -1, 0]]), np.array([2.0, 3.0]), np.array([1.0, -1.0])
    assert problem.minimiser is not None
    for _ in range(20):
        x = rng.standard_normal(3) * 2
        z = k * (A @ x) - b
        np.testing.assert_allclose(problem.gradient(x), A.T @ (np.tanh(z) / k), rtol=1e-13, atol=1e-15)
        assert problem.value(x) == pytest.approx(float((np.log(np.cosh(z)) / k**2).sum()), rel=1e-12)
        assert problem.gap(x) == pytest.approx(problem.value(x), rel=1e-14)
        h = 1e-4
        slope = [(problem.value(x + h * e) - problem.value(x - h * e)) / (2 * h) for e in np.eye(3)]
        # Central differences of a function with third derivatives up to 2 k |a|^3: h^2 of that.
        np.testing.assert_allclose(slope, problem.gradient(x), atol=1e-6)
        parts = [problem.sample_gradient(i, x) for i in range(2)]
        np.testing.assert_allclose(np.mean(parts, axis=0), problem.gradient(x), rtol=1e-13, atol=1e-15)
        values = np.mean([problem.component_value(i, x) for i in range(2)])
        assert values == pytest.approx(problem.value(x), rel=1e-14)
    assert problem.gap(problem.minimiser) == pytest.approx(0, abs=1e-30)
    # L is attained at the minimiser, and nowhere exceeded.
    top = np.linalg.eigvalsh(problem.hessian(problem.minimiser))[-1]
    assert top == pytest.approx(problem.L.value, rel=1e-7)
    assert all(
        np.linalg.eigvalsh(problem.hessian(rng.standard_normal(3)))[-1] <= problem.L.value * (1 + 1e-7)
        for _ in range(9)
    )
    again = problems.build(problem.name)
    assert again.name == problem.name
    np.testing.assert_array_equal(again.gradient(np.ones(3)), problem.gradient(np.ones(3)))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("log-cosh:a=1/0@2/0,k=1/1,b=0/0", "linearly independent"),
        ("log-cosh:a=1/0@2,k=1/1,b=0/0", "as many numbers in each row"),
        ("log-cosh:a=1/0,k=-1,b=0", "k must be a positive"),
        ("log-cosh:a=1/0,k=1/1,b=0", "k must have shape"),
    ],
)
def test_log_cosh_refuses(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        problems.build(spec)


# -- saddles --


def test_saddle_multipliers_by_hand() -> None:
    """2000 draws of the five formulas against steps on paper, and how often SSAM is drawn in."""
    rng = np.random.default_rng(0)
    stuck, worst = 0, 0.0
    claim = claims["ssam/saddle"]
    facts = facts_of(given(claim, "spectrum:h=1/-1", gamma=0.1, rho=0.1, steps=1).setting)
    for _ in range(2000):
        h, top = rng.uniform(0.1, 3, 2)
        gamma, rho, y = rng.uniform(0.01, 0.99) / h, rng.uniform(0.05, 3), rng.uniform(0.01, 6)
        if abs(rho * h - 1) < 1e-3 or abs(y - rho) < 1e-3:
            continue
        own = replace(facts.with_steps(gamma, rho), spectrum=(top, -h))
        for rule in ssam_saddle.RULES:
            after = gradient_step(rule, np.diag([top, -h]), np.array([0.0, y]), gamma, rho)[1] / y
            stated = 1 + float(ssam_saddle.growth(rule, own, np.array([y]))[0])
            worst = max(worst, abs(after - stated) / (1 + abs(stated)))
            if rule == UNNORMALISED:
                stuck += abs(after) < 1
                assert (abs(after) < 1) == (rho * h > 1)
            if rule in ("sgd", "usam", NORMALISED):
                assert (abs(after) > 1) == {"sgd": True, "usam": rho * h < 1, NORMALISED: y > rho}[
                    rule
                ] or rule == "usam"
    # Two gradients and a quotient of norms: some ten roundings, enlarged by 1/|1 - rho h| <= 1000.
    assert worst < 3e-13
    # "SSAM always escapes" is wrong for every draw with rho h > 1, about three in four of these.
    assert 1000 < stuck < 2000


def test_at_a_tie_nothing_moves() -> None:
    """rho h = 1 exactly: the perturbed gradient is 0, and sign(0) = 0 is the multiplier's."""
    claim = claims["ssam/saddle"]
    setting = given(claim, "spectrum:h=1/-1", gamma=0.25, rho=1.0, x0="0/0.5", steps=1).setting
    for rule in (UNNORMALISED, "usam"):
        after = EngineLab().step(with_method(setting, rule), setting.x0[None, :])
        np.testing.assert_array_equal(after[0], setting.x0)
    assert ssam_saddle.growth(UNNORMALISED, facts_of(setting), np.ones(1))[0] == 0


def test_saddle_claim_refuses() -> None:
    claim = claims["ssam/saddle"]
    for spec, gamma, name in (
        ("spectrum:h=1/0.5", 0.1, "lowest eigenvalue"),
        ("spectrum:h=1/-2", 0.6, "gamma h"),
        ("pl-sine:d=2", 0.1, "f is quadratic"),
    ):
        facts = facts_of(given(claim, spec, gamma=gamma, rho=0.1, steps=1).setting)
        with pytest.raises(OutsideHypotheses, match=name):
            claim.require(facts)


def test_a_run_from_the_saddle_itself_shows_nothing() -> None:
    claim = claims["ssam/saddle"]
    instance = given(claim, "spectrum:h=1/-1", gamma=0.1, rho=0.5, x0="0/0", steps=10)
    with pytest.raises(NotMeasurable, match="the saddle itself"):
        ssam_saddle.run(instance.setting, facts_of(instance.setting), 10, EngineLab())


def test_a_run_in_a_random_basis_stops_before_rounding_leads_off_the_line() -> None:
    claim = claims["ssam/saddle"]
    for rho in (0.2, 1.5):
        instance = given(claim, "spectrum:h=1/-1,basis=rotated", gamma=0.3, rho=rho, steps=200)
        trial = ssam_saddle.run(instance.setting, facts_of(instance.setting), 200, EngineLab())
        assert 5 <= trial.at[0] < 60
        assert (trial.error < 1e-3).all()
        assert (np.abs(trial.measured - trial.stated({})) <= trial.error).all()


# -- contraction --


def test_the_stored_counterexample() -> None:
    problem = problems.build("log-cosh")
    middle = np.array([-1.17, -0.24])
    u = 0.01 * np.array([math.cos(1.047), math.sin(1.047)])

    def apart(gamma: float, rho: float) -> float:
        def step(x: Vector) -> Vector:
            return np.asarray(x - gamma * problem.gradient(x + rho * problem.gradient(x)))

        return float(np.linalg.norm(step(middle + u) - step(middle - u)) / 0.02)

    # Seven digits stand on paper; points near 1 and a distance of 0.02 leave 1e-14.
    assert apart(3e-4, 9.0) == pytest.approx(1.0001763, abs=5e-8)
    assert apart(3e-4, 0.0) == pytest.approx(0.9999432, abs=5e-8)
    L = problem.L.value
    stiffness = 3e-4 * L * (1 + 9 * L)
    assert stiffness == pytest.approx(0.0076, abs=5e-5)
    for gamma in (3e-4, 3e-5, 3e-6):  # first order in gamma
        assert (apart(gamma, 9.0) - 1) / gamma == pytest.approx(0.59, abs=0.005)


def test_the_criterion_is_sharp() -> None:
    mu, L = 0.02, 1.0
    edge = widest_radius(mu, L)
    assert edge == pytest.approx(0.7955, abs=5e-5)
    growth = []
    for part in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0, 10.0):
        H, B = ssam_contraction.pairs(mu, L, part * edge)
        growth.append(-float(np.linalg.eigvalsh(H @ B + (H @ B).transpose(0, 2, 1)).min()) / 2)
    assert np.sign(growth).tolist() == [-1, -1, -1, 1, 1, 1, 1]
    # The two digits agree at 0.9 and 1.1; further off the extremal pair at rho* is not the extremal one.
    assert growth[1] == pytest.approx(-0.0038, abs=5e-5)
    assert growth[4] == pytest.approx(0.0040, abs=1e-4)
    # Up to a condition of 3 + 2 sqrt 2 there is no edge.
    assert widest_radius(1 / (3 + 2 * math.sqrt(2)) + 1e-9, 1.0) == math.inf
    assert math.isfinite(widest_radius(1 / (3 + 2 * math.sqrt(2)) - 1e-3, 1.0))
    assert widest_radius(0.0, 1.0) == 0
    assert monotonicity(0.0, 1.0, 0.1) == 0


@forall(
    d=st.integers(2, 5),
    mu=st.floats(1e-3, 1.0),
    part=st.floats(0.01, 0.999),
    steps=st.floats(0.01, 0.999),
    seed=st.integers(0, 10**6),
)
def test_pairs_of_any_dimension_obey_both_bounds(d: int, mu: float, part: float, steps: float, seed: int) -> None:
    """The pairs of the claim are 2 x 2; nothing is worse in more dimensions."""
    rng = np.random.default_rng(seed)
    rho = part * min(widest_radius(mu, 1.0), 100.0)
    m = monotonicity(mu, 1.0, rho)
    assert m > 0
    M = 1 + rho

    def symmetric() -> Matrix:
        q, _ = np.linalg.qr(rng.standard_normal((d, d)))
        ends = rng.random() < 0.7
        h = rng.choice([mu, 1.0], d) if ends else rng.uniform(mu, 1.0, d)
        return np.asarray((q * h) @ q.T)

    H, B = symmetric(), np.eye(d) + rho * symmetric()
    lowest = float(np.linalg.eigvalsh(H @ B + B @ H)[0]) / 2
    assert lowest >= m - 100 * d * np.finfo(float).eps * M  # products of two d x d matrices
    gamma = steps * 2 * m / M**2
    factor = math.sqrt(1 - 2 * gamma * m + (gamma * M) ** 2)
    assert np.linalg.norm(np.eye(d) - gamma * H @ B, 2) <= factor + 100 * d * np.finfo(float).eps
    if gamma <= m / M**2:
        assert factor <= 1 - gamma * m / 2 + 1e-15


def exact_monotonicity(mu: float, L: float, rho: float) -> float:
    """inf <H_1 x, (I + rho H_2) x> for unit x: H x = c x + r u with any unit u, c and r half the sum and difference of
    the spectrum's ends, and all in one plane; over the two angles."""
    c1, r1 = (L + mu) / 2, (L - mu) / 2
    c2, r2 = 1 + rho * c1, rho * r1
    a, b = np.meshgrid(*[np.linspace(-math.pi, math.pi, 361)] * 2)
    return float((c1 * c2 + c1 * r2 * np.cos(b) + c2 * r1 * np.cos(a) + r1 * r2 * np.cos(a - b)).min())


def test_monotonicity_against_its_definition_and_the_exact_infimum() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        mu, rho = 10 ** rng.uniform(-2, 0), 10 ** rng.uniform(-2, 1)
        turn = math.acos(2 * math.sqrt(mu) / (1 + mu)) + math.acos(
            2 * math.sqrt((1 + rho * mu) * (1 + rho)) / (2 + rho * (1 + mu))
        )
        first = mu * (1 + rho * mu) * math.cos(turn)
        second = mu * (1 + rho * mu) * (1 - rho * (1 - mu) ** 2 / (8 * mu * (1 + rho * mu)))
        m = monotonicity(mu, 1.0, rho)
        assert m == pytest.approx(max(first, second), rel=1e-9, abs=1e-12)
        true = exact_monotonicity(mu, 1.0, rho)
        # Where it is negative the formula says nothing. A grid of one degree is above the infimum by 2e-4 of the
        # terms at most.
        assert m <= true + 1e-12 or m <= 0
        assert (true > 4e-4 * (1 + rho)) <= (rho < widest_radius(mu, 1.0))
        H, B = ssam_contraction.pairs(mu, 1.0, rho)
        lowest = float(np.linalg.eigvalsh(H @ B + (H @ B).transpose(0, 2, 1)).min()) / 2
        assert lowest == pytest.approx(true, abs=4e-4 * (1 + rho))


def test_monotonicity_is_nearly_attained() -> None:
    """Smallest lambda_min/m over random constants: 1.0001 or less."""
    rng, least = np.random.default_rng(0), math.inf
    for _ in range(300):
        mu, rho = 10 ** rng.uniform(-1, 0), 10 ** rng.uniform(-2, 1)
        m = monotonicity(mu, 1.0, rho)
        if m > 0:
            H, B = ssam_contraction.pairs(mu, 1.0, rho)
            least = min(least, float(np.linalg.eigvalsh(H @ B + (H @ B).transpose(0, 2, 1)).min()) / 2 / m)
    assert 1 - 1e-12 <= least < 1.0002


def test_on_quadratics_the_factor_is_that_of_the_eigenvalues() -> None:
    claim = claims["ssam/usam-contraction"]
    setting = given(claim, "quadratic:d=2,mu=0.3,L=1,seed=4", gamma=0.2, rho=0.4, steps=1).setting
    apart, _ = ssam_contraction.ratios(setting, EngineLab())
    factors = [1 - 0.2 * h * (1 + 0.4 * h) for h in (0.3, 1.0)]
    # Angles of 3 degrees miss the extremal direction by at most 1.5, which costs sin^2 of it.
    assert factors[1] - 1e-12 <= apart.min() <= factors[1] + 2e-3
    assert factors[0] - 1e-3 <= apart.max() <= factors[0] + 1e-12


def test_contraction_claim_refuses() -> None:
    claim = claims["ssam/usam-contraction"]
    for spec, gamma, rho, name in (
        ("log-cosh", 3e-4, 9.0, "strong convexity"),
        ("pl-sine:d=2,a=0.5", 1e-3, 0.01, "strong convexity"),  # PL is not strongly convex
        ("spectrum:h=1/0.02", 1e-5, 0.9, "rho"),
        ("spectrum:h=1/0.5", 3.0, 0.1, "gamma"),
    ):
        facts = facts_of(given(claim, spec, gamma=gamma, rho=rho, steps=1).setting)
        with pytest.raises(OutsideHypotheses, match=name):
            claim.require(facts)


def test_a_smaller_step_does_not_repair_the_lemma() -> None:
    claim = claims["ssam/usam-expansive"]
    for gamma in (3e-4, 1e-5, 1e-6):
        instance = given(claim, "log-cosh", gamma=gamma, rho=9.0, x0=ssam_contraction.COUNTEREXAMPLE, steps=1)
        result = run_check(prepare(claim, instance.setting, steps=1))
        assert any(e.verdict is Verdict.VIOLATED for e in result.evidence), gamma
    quadratic = given(claim, "spectrum:h=1/0.01", gamma=1e-3, rho=9.0, steps=1)
    rows = run_check(prepare(claim, quadratic.setting, steps=1)).evidence
    assert all(e.verdict is Verdict.CONSISTENT for e in rows)


# -- rates --


@forall(
    mu=st.floats(0.01, 1.0),
    rho=st.floats(1e-3, 30.0),
    part=st.floats(0.01, 0.999),
    power=st.floats(-8, 4),
    rule=st.sampled_from([UNNORMALISED, NORMALISED]),
    seed=st.integers(0, 10**6),
)
def test_one_step_on_quadratics(mu: float, rho: float, part: float, power: float, rule: str, seed: int) -> None:
    """The decrease with the factor of the point, written again; and the uniform factor of the curve is no larger."""
    rng = np.random.default_rng(seed)
    h = np.concatenate([[mu, 1.0], rng.uniform(mu, 1.0, 2)])
    x = rng.standard_normal(4) * 10 ** rng.uniform(-3, 0, 4) * 10**power
    size = float(np.linalg.norm(h * x))
    s = rho if rule == UNNORMALISED else rho / size
    cosine = 2 * math.sqrt((1 + s * mu) * (1 + s)) / (2 + s * (mu + 1))
    least = cosine if rule == UNNORMALISED else 2 * math.sqrt(mu) / (1 + mu)
    assert cosine >= least * (1 - 1e-15)
    gamma = part * 2 * least
    after = gradient_step(rule, np.diag(h), x, gamma, rho)
    gap, next_gap = float(h @ x**2) / 2, float(h @ after**2) / 2
    bound = (1 - 2 * mu * gamma * (cosine - gamma / 2)) * gap
    # A step has a dozen roundings of its terms, squared in the gap.
    assert next_gap <= bound + 1e-13 * gap
    facts = facts_of(
        given(claims["ssam/quadratic-rate"], f"spectrum:h={mu!r}/1", gamma=gamma, rho=rho, steps=1).setting
    )
    own = plain_cosine(facts) if rule == UNNORMALISED else worst_cosine(facts)
    assert own == pytest.approx(least, rel=1e-13)
    assert float(kantorovich(facts, s)) == pytest.approx(cosine, rel=1e-13)
    assert float(decrease(facts, cosine)) == pytest.approx(2 * mu * gamma * (cosine - gamma / 2), rel=1e-9, abs=1e-15)


def test_near_tight_family_of_the_quadratic_rate() -> None:
    """Bottom eigenvector, small step and radius: the decrease is 1.0045 times the guaranteed one."""
    mu, gamma, rho = 0.1, 0.01, 0.01
    x = np.array([0.0, 1.0])
    after = gradient_step(UNNORMALISED, np.diag([1.0, mu]), x, gamma, rho)
    fell = 1 - float(after[1] ** 2)
    cosine = 2 * math.sqrt((1 + rho * mu) * (1 + rho)) / (2 + rho * (mu + 1))
    ratio = fell / (2 * mu * gamma * (cosine - gamma / 2))
    assert ratio == pytest.approx(1.0045, abs=2e-4)


def test_normalised_ssam_in_one_dimension_is_gradient_descent() -> None:
    setting = given(claims["ssam/normalised-rate"], "spectrum:h=2", gamma=0.3, rho=5.0, x0="1", steps=20).setting
    lab = EngineLab()
    ssam, gd = (lab.iterates(with_method(setting, rule), np.arange(21))[0, :, 0] for rule in (NORMALISED, "gd"))
    # x + rho changes by one rounding, and the rescaling by a few.
    np.testing.assert_allclose(ssam, gd, rtol=1e-13)


def test_the_floor_of_sam_is_gone() -> None:
    setting = given(
        claims["ssam/normalised-rate"], "spectrum:h=1/0.5", gamma=0.5, rho=0.1, x0="1/1", steps=3000
    ).setting
    lab = EngineLab()
    sam, ssam = (np.linalg.norm(lab.iterates(with_method(setting, rule), [3000])[0, 0]) for rule in ("sam", NORMALISED))
    assert sam == pytest.approx(0.5 * 0.1 / 1.5, rel=1e-12)  # gamma L rho/(2 - gamma L)
    assert ssam < 1e-140


def test_pl_rates_on_the_wavy_function() -> None:
    """x_i^2 + 3 sin^2 x_i: decrease over the guaranteed one, in random steps, for SSAM and USAM."""
    problem = problems.build("pl-sine:d=3,a=3")
    mu, L = certified_pl_constant(3.0), 8.0
    assert problem.L.value == L
    assert mu == pytest.approx(0.1755, abs=5e-5)
    rng = np.random.default_rng(0)
    least = {"ssam": math.inf, "usam": math.inf}
    grew = 0
    for _ in range(1500):
        x = rng.uniform(-8, 8, 3) * rng.choice([1.0, 0.1, 0.01])
        part = rng.uniform(0.02, 0.95)
        rho, c = part / L, math.sqrt(1 - part**2)
        g = problem.gradient(x)
        ga = problem.gradient(x + rho * g)
        gap = problem.gap(x)
        gamma = rng.uniform(0.05, 0.95) * 2 * c / L
        ssam = (gap - problem.gap(x - gamma * np.linalg.norm(g) / np.linalg.norm(ga) * ga)) / gap
        least["ssam"] = min(least["ssam"], ssam / (2 * mu * gamma * (c - gamma * L / 2)))
        gamma = rng.uniform(0.05, 1.0) / L
        usam = (gap - problem.gap(x - gamma * ga)) / gap
        least["usam"] = min(least["usam"], usam / (mu * gamma * (1 - part**2)))
        ga = problem.gradient(x + 0.95 / L * g)
        grew += problem.gap(x - 1.9 / L * ga) > gap
    assert least["ssam"] > 1
    assert least["usam"] > 1
    assert grew > 0
    # Where the PL inequality is an equality, a small step and radius attain SSAM's rate, and half of it is USAM's.
    u = np.linspace(0.5, 4, 200_001)
    slope, height = 2 * u + 3 * np.sin(2 * u), u**2 + 3 * np.sin(u) ** 2
    x = np.full(3, u[np.argmin(slope**2 / height)])
    gamma, rho = 1e-4 / L, 1e-4 / L
    g = problem.gradient(x)
    ga = problem.gradient(x + rho * g)
    fell = [problem.gap(x) - problem.gap(x - gamma * d) for d in (np.linalg.norm(g) / np.linalg.norm(ga) * ga, ga)]
    # Terms of first order in gamma L and rho L are left; the difference of gaps has 1e-16/1e-5.
    assert fell[0] / problem.gap(x) / (2 * mu * gamma) == pytest.approx(1, abs=1e-3)
    assert fell[1] / problem.gap(x) / (mu * gamma) == pytest.approx(2, abs=2e-3)


def test_usam_rate_is_attained_at_the_longest_step() -> None:
    """On x^2/2 with gamma = 1: x+ = -rho x, the gap falls by rho^2 = 1 - (1 - rho^2)."""
    claim = claims["ssam/usam-pl-rate"]
    for rho in (0.05, 0.6, 0.99):
        setting = given(claim, "spectrum:h=1", gamma=1.0, rho=rho, x0="1", steps=8).setting
        facts = facts_of(setting)
        t = np.arange(1, 5)
        run = EngineLab().iterates(setting, t)[0, :, 0]
        np.testing.assert_allclose(run**2 / 2, claim.bound(facts, t), rtol=1e-12)


def test_rates_refuse() -> None:
    cases = [
        ("ssam/quadratic-rate", "pl-sine:d=2", 0.01, 0.01, UNNORMALISED, r"f is quadratic \(1: yes\)"),
        ("ssam/quadratic-rate", "spectrum:h=1/0.1", 1.93, 1.0, UNNORMALISED, "gamma"),
        ("ssam/quadratic-rate", "spectrum:h=1/0.1", 0.1, 1.0, NORMALISED, "lam"),
        ("ssam/quadratic-rate", "spectrum:h=1/-0.1", 0.1, 1.0, UNNORMALISED, "mu"),
        ("ssam/normalised-rate", "spectrum:h=1/0.1", 1.16, 1.0, NORMALISED, "gamma"),
        ("ssam/normalised-rate", "spectrum:h=1/0.1", 0.1, 1.0, UNNORMALISED, "lam"),
        ("ssam/pl-rate", "pl-sine:d=2,a=3", 0.01, 0.125, UNNORMALISED, "rho L"),
        ("ssam/pl-rate", "pl-sine:d=2,a=3", 0.2, 0.1, UNNORMALISED, "gamma"),
        ("ssam/usam-pl-rate", "pl-sine:d=2,a=3", 0.126, 0.1, None, "gamma"),
    ]
    for claim_id, spec, gamma, rho, method, name in cases:
        claim = claims[claim_id]
        facts = facts_of(given(claim, spec, gamma=gamma, rho=rho, method=method, steps=1).setting)
        with pytest.raises(OutsideHypotheses, match=f"{name}: "):
            claim.require(facts)
    # The limits of the table: 1.91 and 1.15 at mu = 0.1, rho = 1.
    facts = facts_of(given(claims["ssam/quadratic-rate"], "spectrum:h=1/0.1", gamma=0.1, rho=1.0, steps=1).setting)
    assert 2 * plain_cosine(facts) == pytest.approx(1.91, abs=5e-3)
    assert 2 * worst_cosine(facts) == pytest.approx(1.15, abs=5e-3)
    assert smooth_cosine(facts) == 0


# -- step ranges --


@pytest.mark.parametrize(
    ("mu", "rho", "usam", "plain", "unit"),
    [(0.1, 1, 0.98, 1.91, 1.15), (0.05, 1, 0.98, 1.90, 0.85), (0.1, 5, 0.32, 1.60, 1.15), (0.05, 20, 0.08, 1.13, 0.85)],
)
def test_measured_step_ranges(mu: float, rho: float, usam: float, plain: float, unit: float) -> None:
    """On a grid of 0.02 the longest converging step on diag(mu, 1); SSAM reaches 1.98 always."""
    setting = given(claims["ssam/step-range"], f"spectrum:h={mu}/1", gamma=0.1, rho=rho, x0="1/1", steps=1).setting
    lab = EngineLab()

    def longest(rule: str) -> float:
        under = with_method(setting, rule)
        found = 0.0
        for k in range(1, 106):
            end = lab.iterates(under.with_steps(gamma=0.02 * k, rho=rho), [6000])[0, 0]
            if float(np.linalg.norm(end)) < 1e-3:
                found = 0.02 * k
        return found

    assert longest("usam") == pytest.approx(usam, abs=1e-9)
    assert longest(UNNORMALISED) == pytest.approx(1.98, abs=1e-9)
    assert longest(NORMALISED) == pytest.approx(1.98, abs=1e-9)
    facts = facts_of(setting)
    assert 2 * plain_cosine(facts) == pytest.approx(plain, abs=5e-3)
    assert 2 * worst_cosine(facts) == pytest.approx(unit, abs=5e-3)
    assert ssam_range.longest_step("usam", facts) == pytest.approx(2 / (1 + rho), rel=1e-14)
    assert {ssam_range.longest_step(rule, facts) for rule in ("sgd", UNNORMALISED, NORMALISED)} == {2.0}


@forall(
    h=st.lists(st.floats(0.1, 1.0), min_size=1, max_size=3),
    rho=st.floats(0.01, 100.0),
    gamma=st.floats(0.3, 1.98),
    rule=st.sampled_from([UNNORMALISED, NORMALISED]),
    powers=st.lists(st.floats(-6, 2), min_size=4, max_size=4),
)
def test_ssam_converges_in_the_whole_range(
    h: list[float], rho: float, gamma: float, rule: str, powers: list[float]
) -> None:
    """Any start, any spectrum with L = 1: the proof's geometric convergence."""
    curvatures = np.array([*h, 1.0])
    x = 10.0 ** np.array(powers[: len(curvatures)])
    start = float(np.linalg.norm(x))
    H = np.diag(curvatures)
    for _ in range(4000):
        x = gradient_step(rule, H, x, gamma, rho)
        if np.linalg.norm(x) < 1e-4 * start:
            break
    assert np.linalg.norm(x) < 1e-4 * start


# -- generalised linear models --


def test_ssam_is_sgd_by_hand() -> None:
    """Squared, logistic and log-cosh slopes, batch 1: the step is SGD's. Batch 2: it is not."""
    rng = np.random.default_rng(0)
    slopes = (lambda z: z, lambda z: -1 / (1 + np.exp(z)), np.tanh)
    worst, apart = 0.0, 0.0
    for trial in range(120):
        slope = slopes[trial % 3]
        A, shift, x = rng.standard_normal((8, 4)), rng.standard_normal(8), rng.standard_normal(4)
        rho = 10 ** rng.uniform(-1, 1)
        for rows in ([trial % 8], [trial % 8, (trial + 3) % 8]):
            chosen, offsets, count = A[rows], shift[rows], len(rows)
            g = chosen.T @ slope(chosen @ x - offsets) / count
            for ascent in (rho, rho / np.linalg.norm(g)):
                ga = chosen.T @ slope(chosen @ (x + ascent * g) - offsets) / count
                difference = float(np.linalg.norm(np.linalg.norm(g) / np.linalg.norm(ga) * ga - g))
                if len(rows) == 1:
                    worst = max(worst, difference / float(np.linalg.norm(g)))
                else:
                    apart = max(apart, difference)
    assert worst < 2e-15  # a dozen roundings
    assert apart > 0.4


def test_usam_on_least_squares_has_a_step_of_its_own_for_each_row() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b, x, gamma, rho = rng.standard_normal(3), rng.standard_normal(), rng.standard_normal(3), 0.3, 2.0
        g = (a @ x - b) * a
        usam = x - gamma * (a @ (x + rho * g) - b) * a
        np.testing.assert_allclose(usam, x - gamma * (1 + rho * a @ a) * g, rtol=1e-12, atol=1e-13)


def test_glm_claim_refuses() -> None:
    claim = claims["ssam/glm-is-sgd"]
    pair = given(claim, ssam_glm.SQUARES, "tau-nice:tau=2", gamma=0.1, rho=1.0, steps=10)
    with pytest.raises(OutsideHypotheses, match="one component a draw"):
        claim.require(facts_of(pair.setting))
    for spec, words in (
        ("ridge:data=diabetes,reg=0.1,scale=rows", "sine of the angle between gradients"),
        ("quadratic-sum:n=4,d=3,seed=1", "sine of the angle between gradients"),
        ("quadratic-sum:n=4,d=3,indefinite=1,seed=1", "every f_i is convex"),
    ):
        instance = given(claim, spec, "uniform", gamma=0.1, rho=1.0, steps=10)
        with pytest.raises(OutsideHypotheses, match=words):
            run_check(prepare(claim, instance.setting, steps=10))
    claim = claims["ssam/usam-glm-step"]
    uneven = given(claim, "least-squares:data=diabetes,scale=columns", "uniform", gamma=0.01, rho=1.0, steps=10)
    with pytest.raises(OutsideHypotheses, match="L_max/L_avg"):
        claim.require(facts_of(uneven.setting))


def test_glm_claim_sees_a_wrong_renormalisation() -> None:
    """The claim is exact to a few roundings: SSAM against SGD with a step longer by 1e-13 is told apart."""
    instance = given(claims["ssam/glm-is-sgd"], ssam_glm.SQUARES, "uniform", gamma=0.5, rho=1.0, steps=60)
    facts = facts_of(instance.setting)
    trial = ssam_glm.ssam_is_sgd(instance.setting, facts, 60, EngineLab(range(8), 1))
    assert (np.abs(trial.measured - trial.stated({})) <= trial.error).all()
    assert (trial.error < 1e-11 * np.abs(trial.measured).max()).all()


# -- stability --


def coupled_by_hand(
    rule: str, n: int, z: float, gamma: float, rho: float, steps: int, copies: int, x0: float
) -> Vector:
    """|x_T - x_T'| on the line with one example z against -z, all others 0, h = 1; shape (copies,)."""
    rng = np.random.default_rng([n, steps])
    x = np.full((2, copies), x0)
    for _ in range(steps):
        target = np.where(rng.random(copies) < 1 / n, np.array([[z], [-z]]), 0.0)
        g = x - target
        ascent = {"sgd": 0 * g, "usam": rho * g, "sam": rho * np.sign(g)}[rule]
        x = x - gamma * (g + ascent)
    return np.asarray(np.abs(x[0] - x[1]))


def test_means_of_coupled_runs_by_hand() -> None:
    """Two codes, two generators: the mean distance agrees within sampling error, for SGD, USAM and SAM."""
    for rule, n in (("sgd", 16), ("usam", 16), ("sam", 64)):
        problem = problems.build(f"quadratic-losses:n={n},examples=outlier,Z=0.5")
        setting = make_setting(
            problem, sampling=samplings.build("uniform", problem=problem), method=methods.build(rule), gamma=0.5,
            rho=0.3, x0=[0.0],
        )  # fmt: skip
        engine = ssam_stability.distances(setting, np.array([5.0 * n]), EngineLab(range(3000), 4))[:, 0]
        hand = coupled_by_hand(rule, n, 0.5, 0.5, 0.3, 5 * n, 3000, 0.0)
        error = math.hypot(engine.std(), hand.std()) / math.sqrt(3000)
        assert abs(engine.mean() - hand.mean()) < 4.5 * error, rule
        if rule != "sam":
            # SGD and USAM: |z - z'|/n whatever rho, up to (1 - gamma m)^T.
            assert abs(engine.mean() - 1.0 / n) < 4.5 * engine.std() / math.sqrt(3000)


def test_sam_does_not_become_stable_with_n() -> None:
    """One example at 0.5 of n: the distance stays near the cycle's diameter 0.2 where SGD's is 1/n."""
    means = {}
    for rule in ("sgd", "sam"):
        for n in (32, 512):
            means[rule, n] = coupled_by_hand(rule, n, 0.5, 0.5, 0.3, 5 * n, 1500, 0.0).mean()
    assert means["sam", 512] == pytest.approx(0.2, abs=0.01)
    assert means["sam", 32] == pytest.approx(0.2, abs=0.04)
    assert means["sgd", 512] < 0.01


def test_floor_bound_by_hand() -> None:
    """The floor's formula from its sum, and that it holds for many radii and steps."""
    for gamma, rho, z in ((0.5, 0.3, 0.5), (0.3, 0.9, 0.2), (0.8, 0.4, 0.7)):
        n, T = 128, 200
        claim = claims["ssam/stability-floor"]
        spec = f"quadratic-losses:n={n},examples=outlier,Z={z}"
        facts = facts_of(given(claim, spec, "uniform", gamma=gamma, rho=rho, x0="0", steps=T).setting)
        r, q = gamma * rho / (2 - gamma), 1 - 1 / n
        lacking = 2 * r * q**T + sum(2 * max(r, z + rho - r) * (1 - gamma) ** k * q**k / n for k in range(5000))
        found = ssam_stability.floor_of(facts, z, np.array([float(T)]))[0]
        assert found == pytest.approx(2 * r - lacking, rel=1e-12)
        measured = np.maximum(2 * r - coupled_by_hand("sam", n, z, gamma, rho, T, 4000, 0.0), 0)
        assert measured.mean() <= lacking + 4.5 * measured.std() / math.sqrt(4000)


def test_runs_are_mirror_images_after_the_first_draw() -> None:
    claim = claims["ssam/stability-floor"]
    setting = given(claim, ssam_stability.outlier(64), "uniform", gamma=0.5, rho=0.3, x0="0", steps=64).setting
    lab, times = EngineLab(range(50), 7), np.arange(65)
    one = lab.iterates(setting, times)
    two = lab.iterates(replace(setting, problem=setting.problem.neighbour), times)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(one, -two)
    assert (one[:, 0] == 0).all()
    # Before the changed example is drawn nothing moves at all: the start is an exact minimiser of the others.
    assert 0.2 < (one[:, -1, 0] == 0).mean() < 0.6  # (1 - 1/64)^64 = 0.365 of 50


@pytest.mark.parametrize("z", [0.2, 0.4])
def test_an_example_that_leads_to_rest_is_refused(z: float) -> None:
    """gamma = 0.5, rho = 0.3: from the cycle +-0.1 a draw of z = 0.4 leads to 0.3 or 0.4, and 0.3 to 0 exactly."""
    claim = claims["ssam/stability-floor"]
    instance = given(claim, ssam_stability.outlier(128, z=z), "uniform", gamma=0.5, rho=0.3, x0="0", steps=128)
    with pytest.raises(OutsideHypotheses, match="soon after z is drawn"):
        run_check(prepare(claim, instance.setting, steps=128))


def test_floor_refuses_other_data_and_says_where_it_says_nothing() -> None:
    claim = claims["ssam/stability-floor"]
    for spec, x0, words in (
        ("quadratic-losses:n=64,seed=1", "0", "of the other examples"),
        (ssam_stability.outlier(64), "1", "|x_0|"),
    ):
        instance = given(claim, spec, "uniform", gamma=0.5, rho=0.3, x0=x0, steps=64)
        with pytest.raises(OutsideHypotheses) as refusal:
            run_check(prepare(claim, instance.setting, steps=64))
        assert words in str(refusal.value)
    for spec, words in (
        (ssam_stability.outlier(8), "horizon too short"),
        (ssam_stability.outlier(200), "rounding floor"),
    ):
        instance = given(claim, spec, "uniform", gamma=0.5, rho=0.3, x0="0", steps=8)
        rows = run_check(prepare(claim, instance.setting, steps=8)).evidence
        assert all(e.verdict is Verdict.INCONCLUSIVE and words in e.reason for e in rows), rows
    for spec, sampling, name in (
        ("quadratic-losses:n=8,h=1/2", "uniform", "d: "),
        ("ridge:data=diabetes,reg=0.1", "uniform", "d: "),
        ("quadratic-sum:n=4,d=1,mu=1,L=1", "uniform", "strong convexity of the losses"),
        (ssam_stability.outlier(8), "tau-nice:tau=2", "one component a draw"),
    ):
        facts = facts_of(given(claim, spec, sampling, gamma=0.1, rho=0.3, steps=1).setting)
        with pytest.raises(OutsideHypotheses, match=name):
            claim.require(facts)


def test_additive_bound_is_0_6_and_a_little() -> None:
    """gamma = 0.5, rho = 0.3, h = 1: 2 gamma rho/(1 - c) = 0.6, and |z - z'|/n from the changed example."""
    claim = claims["ssam/stability-upper"]
    instance = given(claim, ssam_stability.outlier(128, z=0.4), "uniform", gamma=0.5, rho=0.3, x0="0", steps=640)
    trial = ssam_stability.additive(instance.setting, facts_of(instance.setting), 640, EngineLab(range(4)))
    np.testing.assert_allclose(trial.stated({}), 0.6 + 0.8 / 128, rtol=1e-14)


def test_label_flips_change_the_gradient_by_one_vector() -> None:
    """D of the additive bound is taken at one point: it is the same at every other."""
    for spec in (ssam_stability.STABLE_DATA, "quadratic-losses:n=9,h=1/0.5,seed=3,flip=4"):
        problem = problems.build(spec)
        setting = make_setting(problem, x0=problem.start)
        here = ssam_stability.changed(setting)
        there = ssam_stability.changed(replace(setting, x0=problem.start + 3.0))
        np.testing.assert_allclose(here, there, rtol=1e-12, atol=1e-13)


def test_usam_bound_is_attained_on_the_line() -> None:
    claim = claims["ssam/usam-stability"]
    instance = given(claim, ssam_stability.outlier(20, z=0.4), "uniform", gamma=0.5, rho=0.3, x0="0", steps=100)
    facts = facts_of(instance.setting)
    trial = ssam_stability.usam_means(instance.setting, facts, 100, EngineLab())
    np.testing.assert_allclose(trial.stated({}), 0.8 / 20, rtol=1e-14)
    np.testing.assert_allclose(trial.measured[-1], 0.8 / 20 * (1 - 0.35**100), rtol=1e-13)
    too_long = facts.with_steps(2 / (2 * 1.3) * 1.001, 0.3)
    with pytest.raises(OutsideHypotheses, match="gamma: "):
        claim.require(too_long)


def test_kinds() -> None:
    kinds = {name: claims[name].kind for name in WANTED}
    assert kinds["ssam/stability-floor"] is Kind.LOWER
    assert kinds["ssam/usam-expansive"] is Kind.REFUTED
    assert claims["ssam/usam-expansive"].corrected == "ssam/usam-contraction"


def test_a_wrong_formula_is_seen() -> None:
    """Breaking one factor of a stated side at a time turns the verdict."""
    for claim_id, scale in (
        ("ssam/saddle", {"speed": 1 + 1e-11}),
        ("ssam/usam-contraction", {"monotonicity": 1.003}),
        ("ssam/step-range", {"range": 1.011}),
        ("ssam/usam-stability", {"distance": 1 - 1e-9}),
    ):
        claim = claims[claim_id]
        instance = claim.families[-1 if claim_id == "ssam/usam-stability" else 1].draw(np.random.default_rng(0), claim)
        if claim_id == "ssam/usam-contraction":
            instance = ssam_contraction.near_one(claim)
        prepared = prepare(claim, instance.setting, steps=instance.steps, scale=scale)
        rows = run_check(prepared).evidence
        assert any(e.verdict is Verdict.VIOLATED for e in rows), claim_id
