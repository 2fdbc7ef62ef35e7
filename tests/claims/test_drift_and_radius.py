"""The drift of SAM's cycle, its flow along a line of minima, SAM with a constant radius, USAM with bounded variance and
USAM as gradient descent with a relative error: the digits that theory states, the traps, and every verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from experiments.engine.run import simulate
from experiments.verify.check import prepare, run_check
from experiments.verify.trials import EngineLab
from experiments.verify.verdict import Verdict
from experiments.verify.verify import ClaimResult, verify
from problems.problem import Problem, problems
from problems.ravines import Cubic, MinimaLine, Power
from theory.claim import Kind, OutsideHypotheses, claims
from theory.claims import dynamics_drift as drift
from theory.claims import dynamics_flow as flow
from theory.claims import igd
from theory.families import given, instance_of
from theory.methods.unified_sam import sam
from theory.setting import facts_of, make_setting
from theory.trial import Trial

BLOCK = [
    "dynamics/drift",
    "dynamics/manifold-flow",
    "dynamics/refined-flow",
    "constant-radius/strongly-convex",
    "constant-radius/convex",
    "constant-radius/nonconvex",
    "constant-radius/pl",
    "usam/one-step",
    "igd/step-range",
    "igd/pl-rate",
    "igd/kl-rate",
]

WANTED = {Kind.UPPER: Verdict.CONSISTENT, Kind.ORDER: Verdict.RATE_SEEN}

reproducible = settings(derandomize=True, deadline=None, max_examples=40)
seeds = st.integers(0, 10**6)

Vector = NDArray[np.float64]


def sam_step(problem: Problem, x: Vector, gamma: float, rho: float) -> Vector:
    """Normalised SAM as on paper."""
    g = problem.gradient(x)
    return x - gamma * problem.gradient(x + rho * g / np.linalg.norm(g))


def usam_step(problem: Problem, x: Vector, gamma: float, rho: float) -> Vector:
    """Unnormalised SAM as on paper."""
    return x - gamma * problem.gradient(x + rho * problem.gradient(x))


def trial_of(claim_id: str, name: str, replay: str) -> Trial:
    """A claim's own trial on the instance of a replay line."""
    claim = claims[claim_id]
    found = instance_of(claim, replay)
    return claim.trials[name](found.setting, facts_of(found.setting), found.steps, EngineLab())


@pytest.fixture(scope="module", params=[0, 1])
def results(request: pytest.FixtureRequest) -> dict[str, ClaimResult]:
    return {found.claim.id: found for found in verify(BLOCK, seed=request.param)}


def test_every_verdict_is_the_one_of_its_kind_and_every_control_is_refuted(results: dict[str, ClaimResult]) -> None:
    for name in BLOCK:
        found = results[name]
        assert found.verdict is WANTED[claims[name].kind], (name, found.reason)
        for control in found.controls:
            assert control.refuted, (name, control.name, control.by)


@pytest.mark.parametrize("name", BLOCK)
def test_every_instance_repeats_from_its_replay_line(name: str) -> None:
    claim = claims[name]
    for family in claim.families:
        found = family.draw(np.random.default_rng(3), claim)
        again = instance_of(claim, found.replay)
        assert str(again.setting) == str(found.setting)
        np.testing.assert_array_equal(again.setting.x0, found.setting.x0)


# -- the drift --


@for_all(x=st.floats(1e-6, 0.5), along=st.floats(-1, 1))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_the_two_numbers_of_the_error_bound(x: float, along: float) -> None:
    v, across = np.array([1.0, 0.0]), math.sqrt(1 - along**2)
    n = np.array([along, across])
    w = (v + x * n) / np.linalg.norm(v + x * n)
    # Rounding of unit vectors is a few 1e-16.
    assert np.linalg.norm(w - v - x * np.array([0.0, across])) <= drift.TURN * x**2 + 1e-15
    assert np.linalg.norm(w - v) <= drift.LEAN * x + 1e-15


def test_neither_number_of_the_error_bound_can_be_a_twentieth_smaller() -> None:
    v, angles = np.array([1.0, 0.0]), np.linspace(0, math.pi, 2001)
    turn, lean = 0.0, 0.0
    for x in (0.01, 0.25, 0.5):
        for angle in angles:
            n = np.array([math.cos(angle), math.sin(angle)])
            w = (v + x * n) / np.linalg.norm(v + x * n)
            turn = max(turn, float(np.linalg.norm(w - v - x * np.array([0, n[1]]))) / x**2)
            lean = max(lean, float(np.linalg.norm(w - v)) / x)
    assert 0.95 * drift.TURN < turn <= drift.TURN
    assert 0.95 * drift.LEAN < lean <= drift.LEAN


@for_all(seed=seeds)
@reproducible
def test_one_step_of_sam_on_random_cubics_by_hand(seed: int) -> None:
    """The left side again, with the third derivative as a full tensor."""
    rng = np.random.default_rng(seed)
    found = drift._draw(rng, claims["dynamics/drift"])
    problem, gamma, rho = found.setting.problem, found.setting.gamma.largest, found.setting.rho.largest
    assert isinstance(problem, Cubic)
    T = np.einsum("ki,kj,kl->ijl", problem.data.b, problem.data.b, problem.data.b)
    H = np.diag(problem.data.h)
    top, v = problem.data.h[0], np.eye(problem.d)[0]
    r = gamma * rho * top / (2 - gamma * top)
    q = T[0, 0]
    xhat = r * np.linalg.norm(q) / (2 * top)
    assert xhat <= 0.5
    delta = 1.04 * rho * xhat
    bend = np.linalg.norm(T.reshape(problem.d, -1), 2)
    bound = np.linalg.norm(H, 2) * rho * 0.73 * xhat**2 + bend * ((r + rho) * delta + delta**2 / 2)
    trial = claims["dynamics/drift"].trials["one step"](found.setting, facts_of(found.setting), 1, EngineLab())
    assert trial.stated({})[0] <= bound * (1 + 1e-12)
    for k, s in enumerate((1.0, -1.0)):
        ahead = -s * r * v - gamma / 2 * (r + rho) ** 2 * q - gamma * rho * r / (2 * top) * H @ (q - q[0] * v)
        error = np.linalg.norm(sam_step(problem, s * r * v, gamma, rho) - ahead) / gamma
        assert error <= bound + trial.error[k]
        assert trial.measured[k] == pytest.approx(error, abs=2 * trial.error[k])


def test_the_largest_part_of_the_error_bound_on_400_cubics() -> None:
    claim, rng, largest = claims["dynamics/drift"], np.random.default_rng(5), 0.0
    for _ in range(400):
        found = drift._draw(rng, claim)
        trial = claim.trials["one step"](found.setting, facts_of(found.setting), 1, EngineLab())
        seen = trial.error < 0.05 * trial.measured
        largest = max(largest, float((trial.measured / trial.stated({}))[seen].max(initial=0.0)))
    # 0.52 is stated for 400 cubics; which ones is not, so that only its size can be expected of these.
    assert largest == pytest.approx(0.52, abs=0.08)


def test_two_steps_return_less_twice_the_drift() -> None:
    problem = problems.build("cubic:h=1/0,b=0.5/0.5@0.3/-0.7")
    assert isinstance(problem, Cubic)
    gamma, rho = 1.2, 1e-4
    r = gamma * rho / (2 - gamma)
    x = np.array([r, 0.0])
    moved = sam_step(problem, sam_step(problem, x, gamma, rho), gamma, rho) - x
    wanted = -2 * 2 * gamma * rho**2 / (2 - gamma) ** 2 * problem.third(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    # Along the flat direction; what is missing is of third order in rho.
    assert moved[1] == pytest.approx(wanted[1], rel=100 * rho)


@pytest.mark.parametrize(
    ("problem", "gamma", "rho", "named"),
    [
        ("quadratic:d=2,mu=0.5,L=1", 0.5, 0.1, "f is a cubic"),
        ("cubic:h=1/0.5", 2.5, 0.1, "gamma lambda_1: 2.5 must be < 2"),
        ("cubic:h=1/1", 0.5, 0.1, "top eigenvalue"),
        ("cubic:h=-1/-2", 0.5, 0.1, "top eigenvalue"),
        ("cubic:h=1/0.5,b=2/0", 1.5, 0.5, "xhat"),
        ("cubic:h=1/0.5,b=0.1/0,reach=0.01", 0.5, 0.5, "r \\+ rho"),
    ],
)
def test_the_drift_is_refused_outside_its_hypotheses(problem: str, gamma: float, rho: float, named: str) -> None:
    claim = claims["dynamics/drift"]
    setting = given(claim, problem, gamma=gamma, rho=rho, steps=1).setting
    with pytest.raises(OutsideHypotheses, match=named):
        run_check(prepare(claim, setting, steps=1))


# -- the flow --


def test_the_errors_to_both_flows_on_two_walls() -> None:
    line = "--problem minima-line --gamma 0.2 --rho 0.04 --x0 0.001/0.001/0.2 --steps 3125"
    limiting = trial_of("dynamics/manifold-flow", "limiting flow", line)
    np.testing.assert_allclose(limiting.at, [0.2, 0.1, 0.05, 0.025])
    # Stated to two digits at the first three.
    np.testing.assert_allclose(limiting.measured[:3], [6.5e-2, 3.1e-2, 1.5e-2], rtol=0.02)
    slope = math.log(limiting.measured[0] / limiting.measured[2]) / math.log(4)
    assert slope == pytest.approx(1.05, abs=0.01)


@pytest.mark.parametrize(("gamma", "stated"), [(0.2, 6.5e-2), (0.1, 3.1e-2), (0.05, 1.5e-2)])
def test_along_the_line_the_refined_flow_is_off_a_thousand_times_less(gamma: float, stated: float) -> None:
    problem, rho = problems.build("minima-line"), 0.02
    assert isinstance(problem, MinimaLine)
    steps = math.ceil(1 / (gamma * rho**2))
    time, top = steps * gamma * rho**2, problem.curvatures(0.2)[0].max()
    x0 = [gamma * rho * top / (2 - gamma * top), 0.0, 0.2]
    setting = make_setting(problem, method=sam(), gamma=gamma, rho=rho, x0=x0)
    y = simulate(setting, steps=steps, times=np.array([steps]), threads=1, gradients=False).x[0, 2]
    to_limiting = abs(y - flow.followed(problem, 0.2, time, gamma, flow.limiting))
    to_refined = abs(y - flow.followed(problem, 0.2, time, gamma, flow.refined))
    # Stated to two digits.
    assert to_limiting == pytest.approx(stated, rel=0.02)
    # 4.6e-5 is the largest stated, at a rho that is not: it goes as rho^2, so that only its size can be expected.
    assert to_refined < 5e-5


def test_at_large_gamma_the_limiting_flow_is_off_by_a_constant_and_the_refined_one_by_rho_squared() -> None:
    line = "--problem minima-line:h=1,s=1,c=0 --gamma 0.8 --rho 0.04 --x0 0.01/1 --steps 400"
    refined = trial_of("dynamics/refined-flow", "refined flow", line)
    # 2.3e-3, 5.7e-4, 1.4e-4 were measured at a time and start that are not recorded: the same to a factor 2.
    np.testing.assert_allclose(refined.measured[:3], [2.3e-3, 5.7e-4, 1.4e-4], rtol=0.3)
    np.testing.assert_allclose(refined.measured[:-1] / refined.measured[1:], 4, rtol=0.02)
    claim = claims["dynamics/refined-flow"]
    found = instance_of(claim, line)
    other = flow.along_the_line(flow.limiting)(found.setting, facts_of(found.setting), found.steps, EngineLab())
    assert (other.measured > 0.1).all()


def test_the_runs_of_the_flow_are_those_of_sam_on_paper() -> None:
    problem = problems.build("minima-line")
    assert isinstance(problem, MinimaLine)
    x = np.array([0.01, 0.02, 0.2])
    setting = make_setting(problem, method=sam(), gamma=0.2, rho=0.04, x0=x)
    run = simulate(setting, steps=300, times=np.array([300]), threads=1, gradients=False).x[0]
    for _ in range(300):
        x = sam_step(problem, x, 0.2, 0.04)
    # The phase of the cycle is not chosen by rounding here: the start is far from it.
    np.testing.assert_allclose(run, x, rtol=1e-9)


def test_sam_ends_where_the_largest_eigenvalue_is_least() -> None:
    problem = problems.build("minima-line")
    setting = make_setting(problem, method=sam(), gamma=0.2, rho=0.1, x0=[0.01, 0.01, -1.0])
    y = simulate(setting, steps=20_000, times=np.array([20_000]), threads=1, gradients=False).x[0, 2]
    # 0.999 was measured; the trace is least at 0.6.
    assert y == pytest.approx(1, abs=2e-3)


def test_the_flow_is_refused_elsewhere() -> None:
    claim = claims["dynamics/manifold-flow"]
    for problem, gamma, named in (
        ("quadratic:d=2,mu=0.5,L=1", 0.2, "line of minima"),
        ("minima-line", 1.5, "gamma lambda_1 at the start"),
        ("minima-line:h=1/1,s=1/1,c=0/0", 0.2, "lambda_1 at the start"),
    ):
        setting = given(claim, problem, gamma=gamma, rho=0.01, steps=10).setting
        with pytest.raises(OutsideHypotheses, match=named):
            run_check(prepare(claim, setting, steps=10))


# -- a constant radius --


def averages(problem: Problem, x: Vector, gamma: float, rho: float, steps: int) -> float:
    total = 0.0
    for _ in range(steps):
        total += float(np.sum(problem.gradient(x) ** 2))
        x = sam_step(problem, x, gamma, rho)
    return total / steps


@for_all(seed=seeds)
@reproducible
def test_the_four_bounds_hold_for_sam_on_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = ["strongly-convex", "convex", "nonconvex", "pl"]
    problem = problems.build(f"log-cosh-ridge:d=2,rows=3,alpha={rng.uniform(0.1, 1):.3g},seed={seed}")
    gamma, rho, steps = float(rng.uniform(0.1, 1)) / problem.L.value, float(10 ** rng.uniform(-2, 1)), 25
    setting = make_setting(problem, method=sam(), gamma=gamma, rho=rho)
    facts, x = facts_of(setting), setting.x0
    for _ in range(steps):
        x = sam_step(problem, x, gamma, rho)
    average = averages(problem, setting.x0, gamma, rho, steps)
    for name in names:
        claim = claims[f"constant-radius/{name}"]
        bound = float(claim.bound(facts, np.array([steps]))[0])
        measured = average if name in ("convex", "nonconvex") else problem.gap(x)
        # 25 steps of a few roundings each.
        assert measured <= bound * (1 + 1e-12)


@for_all(seed=seeds)
@reproducible
def test_the_inequalities_that_the_four_proofs_iterate(seed: int) -> None:
    """From many points, against the page's one-step inequalities written out again."""
    rng = np.random.default_rng(seed)
    problem = problems.build(f"log-cosh-ridge:d=3,rows=4,alpha={rng.uniform(0.1, 1):.3g},seed={seed}")
    L, mu = problem.L.value, problem.mu.value
    gamma, rho = float(rng.uniform(0.1, 1)) / L, float(10 ** rng.uniform(-2, 1))
    facts = facts_of(make_setting(problem, method=sam(), gamma=gamma, rho=rho))
    x = 10 ** rng.uniform(-2, 1) * rng.standard_normal(3)
    gap, norm2 = problem.gap(x), float(np.sum(problem.gradient(x) ** 2))
    error, convex_error = gamma * L**2 * rho**2 / 2, L**3 * gamma**2 * rho**2 / 2
    wanted = {
        "strongly-convex": (1 - mu * gamma * (2 - gamma * L)) * gap + convex_error,
        "convex": gap - gamma * (1 - gamma * L / 2) * norm2 + convex_error,
        "nonconvex": gap - gamma / 2 * norm2 + error,
        "pl": (1 - gamma * mu) * gap + error,
    }
    after = problem.gap(sam_step(problem, x, gamma, rho))
    for name, bound in wanted.items():
        step = claims[f"constant-radius/{name}"].one_step
        assert step is not None
        stated = float(step(facts, np.array([gap]), np.array([norm2]), 0, {})[0])
        # The same terms, added in another order.
        assert stated == pytest.approx(bound, abs=1e-14 * (gap + norm2 + error))
        assert after <= bound + 1e-13 * (gap + norm2 + error)


def test_the_floor_is_attained_on_a_parabola_at_gamma_1_over_L() -> None:
    problem = problems.build("parabolas:h=1")
    claim = claims["constant-radius/strongly-convex"]
    setting = make_setting(problem, method=sam(), gamma=1.0, rho=0.1)
    x = setting.x0
    for _ in range(50):
        x = sam_step(problem, x, 1.0, 0.1)
    stated = float(claim.bound(facts_of(setting), np.array([10**9]))[0])
    # Equality: both sides carry a few roundings.
    assert problem.gap(x) / stated == pytest.approx(1, rel=1e-14)


def test_beyond_the_step_limit_the_floor_is_exceeded_nine_times() -> None:
    problem = problems.build("parabolas:h=1")
    claim = claims["constant-radius/strongly-convex"]
    setting = make_setting(problem, method=sam(), gamma=1.8, rho=0.1)
    with pytest.raises(OutsideHypotheses, match=r"gamma: 1\.8 must be <= 1"):
        claim.bound(facts_of(setting), np.array([1]))
    x = setting.x0
    for _ in range(400):
        x = sam_step(problem, x, 1.8, 0.1)
    stated = float(claim.without_hypotheses().bound(facts_of(setting), np.array([10**9]))[0])
    # gamma L/(2 - gamma L), exactly.
    assert problem.gap(x) / stated == pytest.approx(9, rel=1e-10)


def test_cos_is_frozen_where_the_perturbed_point_is_its_maximum() -> None:
    problem = problems.build("cosine")
    setting = make_setting(problem, method=sam(), gamma=1.0, rho=0.05, x0=[-0.05])
    T = 20_000
    run = simulate(setting, steps=T, times=np.array([T]), threads=1)
    # The point repels: it stays only because 0 is met to less than half a unit in the last place of x.
    assert run.x[0, 0] == -0.05
    bound = float(claims["constant-radius/nonconvex"].bound(facts_of(setting), np.array([T]))[0])
    average = float(run.sums[0, -1]) / T
    # Three digits are stated.
    assert average / bound == pytest.approx(0.925, abs=5e-4)
    # The floor alone: (sin rho/rho)^2; with 0.8 of it the bound is broken.
    assert average / 0.05**2 == pytest.approx((math.sin(0.05) / 0.05) ** 2, rel=1e-9)
    broken = claims["constant-radius/nonconvex"].bound(facts_of(setting), np.array([T]), {"radius": 0.8})
    assert average / float(broken[0]) == pytest.approx(1.135, abs=6e-4)


def test_unnormalised_sam_diverges_from_its_critical_radius_on() -> None:
    problem = problems.build("parabolas:h=1")
    # rho* = 2/(gamma L^2) - 1/L = 1 at gamma = L = 1; stated after 3000 steps.
    for rho, stated in ((0.99, 8e-14), (1.01, 9e12)):
        x = np.array([1.0])
        for _ in range(3000):
            x = usam_step(problem, x, 1.0, rho)
        # One digit is stated; the factor a step is rho.
        assert abs(x[0]) == pytest.approx(rho**3000, rel=1e-9)
        assert abs(x[0]) == pytest.approx(stated, rel=0.07)


def test_what_a_constant_radius_asks_for() -> None:
    steps = {"gamma": 0.5, "rho": 0.1}
    for name, problem, named in (
        ("strongly-convex", "log-cosh-ridge:alpha=0", "mu: 0 must be > 0"),
        ("strongly-convex", "pl-sine:d=2,a=3", "f is convex"),
        ("convex", "cosine", "f is convex"),
        ("convex", "spectrum:h=1/-0.5", "must be <"),
        ("pl", "cosine", "mu: 0 must be > 0"),
        ("nonconvex", "cosine:c=3,w=1", "gamma: 0.5 must be <= 0.333"),
    ):
        claim = claims[f"constant-radius/{name}"]
        setting = given(claim, problem, steps=1, **steps).setting  # type: ignore[arg-type]
        with pytest.raises(OutsideHypotheses, match=named):
            claim.require(facts_of(setting))


# -- USAM with bounded variance --


@for_all(seed=seeds)
@reproducible
def test_the_expected_decrease_of_usam_on_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    problem = problems.build(f"pl-sine:d=2,a={rng.uniform(0.2, 4.5):.3g},n={n},noise=additive,level=2,seed={seed}")
    L, x = problem.L.value, 3 * rng.standard_normal(2)
    gamma, rho = float(rng.uniform(0.05, 0.5)) / L, float(rng.uniform(0, 2)) / L
    g = problem.gradient(x)
    sigma2 = float(np.mean([np.sum((problem.sample_gradient(i, x) - g) ** 2) for i in range(n)]))
    after = []
    for i in range(n):
        y = x + rho * problem.sample_gradient(i, x)
        after.append(problem.gap(x - gamma * problem.sample_gradient(i, y)))
    stretch = (L * rho) ** 2
    bound = problem.gap(x) - gamma / 2 * (1 - stretch) * float(g @ g) + (gamma / 2 * stretch + L * gamma**2) * sigma2
    # Values of a few dozen with a dozen roundings.
    assert np.mean(after) <= bound + 1e-13 * (abs(bound) + problem.gap(x))
    setting = given(claims["usam/one-step"], problem.name, "uniform", gamma=gamma, rho=rho, steps=0).setting
    facts = facts_of(setting)
    assert facts.variance == pytest.approx(sigma2, rel=1e-12)
    step = claims["usam/one-step"].one_step
    assert step is not None
    assert step(facts, np.array([problem.gap(x)]), np.array([g @ g]), 0, {})[0] == pytest.approx(bound, rel=1e-12)


def test_usam_stands_still_on_a_concave_piece_at_L_rho_1() -> None:
    problem = problems.build("tent:a=0.05,rho=1,beta=1")
    x = np.array([0.2])
    # The perturbed point is the summit of the piece, met to rounding.
    assert usam_step(problem, x, 0.5, 1.0)[0] == pytest.approx(0.2, abs=1e-15)
    # At the kink and L rho = s, the decrease (1 - s)(1 - gamma (1 - s)/2) gamma ||g||^2 is nearly the stated one.
    g = problem.gradient([0.0])
    fallen = problem.gap([0.0]) - problem.gap(usam_step(problem, np.array([0.0]), 0.5, 0.99))
    # A difference of 0.005 between values of 0.4.
    assert fallen == pytest.approx(0.01 * (1 - 0.0025) * 0.5 * float(g @ g), rel=1e-12)
    assert fallen / (0.25 * (1 - 0.99**2) * float(g @ g)) == pytest.approx(0.9975 / 0.995, rel=1e-12)


def test_usam_asks_for_a_bounded_variance_and_short_steps() -> None:
    claim = claims["usam/one-step"]
    unbounded = given(claim, "parabolas:h=1/2", "uniform", gamma=0.01, rho=0.1, steps=1).setting
    with pytest.raises(OutsideHypotheses, match="variance: inf"):
        claim.require(facts_of(unbounded))
    long = given(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=0.51, rho=0.1, steps=1).setting
    with pytest.raises(OutsideHypotheses, match=r"gamma: 0\.51 must be <= 0\.5"):
        claim.require(facts_of(long))


# -- USAM as gradient descent with a relative error --


@for_all(nu=st.floats(0, 0.99), part=st.floats(0.02, 0.999), size=st.floats(-1, 1), turn=st.floats(0, math.pi))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_any_relative_error_leaves_the_stated_decrease(nu: float, part: float, size: float, turn: float) -> None:
    """h = g + q nu ||g|| times a unit vector, on the upper model f(x) - <g, gamma h> + L ||gamma h||^2/2 with L = 1."""
    gamma = part * 2 / (1 + nu)
    h = np.array([1.0, 0.0]) + size * nu * np.array([math.cos(turn), math.sin(turn)])
    change = -gamma * h[0] + gamma**2 * float(h @ h) / 2
    sign = -1 if gamma <= 1 else 1
    a = (1 + sign * nu) * (1 - gamma * (1 + sign * nu) / 2)
    assert a > 0
    # Terms of size up to 4 with a few roundings.
    assert change <= -gamma * a + 1e-14
    setting = make_setting(problems.build("parabolas:h=1"), gamma=gamma, rho=nu, lam=0.0)
    assert igd.decrease(facts_of(setting)) == pytest.approx(a, rel=1e-13)


def test_the_two_sharp_instances_decrease_exactly_as_stated() -> None:
    parabola, tent = problems.build("parabolas:h=1"), problems.build("tent:a=0.05,rho=1,beta=1")
    for problem, x, gamma, nu in ((parabola, 1.0, 1.2, 0.5), (parabola, 1.0, 1.6, 0.2), (tent, 0.0, 0.5, 0.5)):
        point = np.array([x])
        after = usam_step(problem, point, gamma, nu)
        sign = -1 if gamma <= 1 else 1
        a = (1 + sign * nu) * (1 - gamma * (1 + sign * nu) / 2)
        fallen = problem.gap(point) - problem.gap(after)
        # Equality up to a few roundings of numbers below 1.
        assert fallen == pytest.approx(gamma * a * float(problem.gradient(point) @ problem.gradient(point)), rel=1e-13)


def test_on_a_parabola_the_pl_factor_is_the_square_of_the_multiplier() -> None:
    for gamma, nu in ((1.1, 0.5), (1.2, 0.5), (1.6, 0.2)):
        setting = make_setting(problems.build("parabolas:h=1"), gamma=gamma, rho=nu, lam=0.0)
        stated = claims["igd/pl-rate"].bound(facts_of(setting), np.array([1, 5])) / 0.5
        np.testing.assert_allclose(stated, [(1 - gamma * (1 + nu)) ** 2, (1 - gamma * (1 + nu)) ** 10], rtol=1e-12)


def test_two_per_cent_beyond_the_range_f_grows_by_six_million() -> None:
    problem = problems.build("parabolas:h=1")
    x = np.array([1.0])
    for _ in range(200):
        x = usam_step(problem, x, 1.02 * 4 / 3, 0.5)
    # One digit is stated: 1.04^400.
    assert problem.gap(x) / 0.5 == pytest.approx(6e6, rel=0.1)
    claim = claims["igd/pl-rate"]
    setting = given(claim, "parabolas:h=1", gamma=1.02 * 4 / 3, rho=0.5, steps=1).setting
    with pytest.raises(OutsideHypotheses, match=r"gamma: 1\.36 must be < 1\.333"):
        claim.require(facts_of(setting))
    with pytest.raises(OutsideHypotheses, match="nu = L rho: 1 must be < 1"):
        claim.require(facts_of(given(claim, "parabolas:h=1", gamma=0.1, rho=1.0, steps=1).setting))


@for_all(p=st.floats(2.2, 8), nu=st.floats(0, 0.9), part=st.floats(0.05, 0.99), x0=st.floats(0.1, 1))
@reproducible
def test_the_kl_rate_on_powers_on_paper(p: float, nu: float, part: float, x0: float) -> None:
    problem = Power(p=p, reach=1.0)
    L = problem.L.value
    gamma = part * 2 / (L * (1 + nu))
    sign = -1 if gamma * L <= 1 else 1
    A = gamma * (1 + sign * nu) * (1 - gamma * L * (1 + sign * nu) / 2)
    q, kappa = (p - 1) / p, p ** ((p - 1) / p)
    x = np.array([x0])
    start = problem.gap(x)
    facts = facts_of(make_setting(problem, gamma=gamma, rho=nu / L, lam=0.0, x0=x))
    stated = igd.kl_bound(facts, problem.exponent, problem.kl_constant, np.array([7.0]), {})[0]
    # Powers up to 8 of sums of a few terms.
    assert stated == pytest.approx(
        (start ** (1 - 2 * q) + (2 * q - 1) * A * kappa**2 * 7) ** (-1 / (2 * q - 1)), rel=1e-11
    )
    for t in range(1, 60):
        x = usam_step(problem, x, gamma, nu / L)
        bound = (start ** (1 - 2 * q) + (2 * q - 1) * A * kappa**2 * t) ** (-1 / (2 * q - 1))
        # Powers up to 8 of numbers with a few roundings a step.
        assert problem.gap(x) <= bound * (1 + 1e-11)


def test_the_kl_rate_is_refused_without_a_known_inequality() -> None:
    claim = claims["igd/kl-rate"]
    for problem, x0, named in (
        ("parabolas:h=1", "1", "known q"),
        ("power:p=4,reach=1", "3", "x_0"),
        ("power:p=2", "1", "q"),
    ):
        setting = given(claim, problem, gamma=0.1, rho=0.01, x0=x0, steps=10).setting
        with pytest.raises(OutsideHypotheses, match=named):
            run_check(prepare(claim, setting, steps=10))
