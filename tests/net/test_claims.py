"""Claims on networks: measured by the claim objects of the theory, judged by the same lines, and able to be refuted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from experiments.engine.run import Progress, simulate
from experiments.net import ensemble
from experiments.net.batches import draw_batches
from experiments.net.claim import Effort, Judged, NetworkClaim, Seen, judge, network_claims, seen
from experiments.net.claims import bounds, edges, inner, training
from experiments.net.curvature import eigenpairs
from experiments.net.digits import digits_objective, digits_starts
from experiments.net.measured import (
    BATCHES,
    Constants,
    NetworkLab,
    NetworkProblem,
    measured_constants,
    network_facts,
    network_setting,
)
from experiments.net.objective import Objective
from experiments.verify.case import Case
from experiments.verify.trials import trial_evidence
from experiments.verify.verdict import Verdict
from problems.errors import InputError
from problems.glm import LeastSquaresProblem
from problems.problem import Grade
from ravine.cli import run_command
from tests.net.examples import quadratic
from theory.claim import OutsideHypotheses, claims
from theory.methods.method import methods
from theory.samplings import replacement, samplings, single
from theory.setting import make_setting

torch.set_num_threads(1)

Values = NDArray[np.float64]

CLAIMS = {
    "net/batch-schedules", "net/bouncing", "net/multi-step", "net/sam-edge", "net/ssam-range", "net/surrogate-gap",
    "net/unified-sam-nonconvex", "net/usam-edge", "net/weighted-gradient",
}  # fmt: skip


@pytest.fixture(scope="module")
def linear() -> tuple[Objective, LeastSquaresProblem]:
    """Ridge regression twice: as a network without hidden layers, and as a problem of the catalogue."""
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((12, 3)), rng.standard_normal(12)
    model = torch.nn.Linear(3, 1, bias=False).double()
    torch.nn.init.zeros_(model.weight)
    objective = Objective(model, torch.as_tensor(A), torch.as_tensor(b)[:, None], loss="squared", reg=0.1)
    return objective, LeastSquaresProblem(A=A, b=b, reg=0.1, name="ridge")


# -- the network as a problem, and the lab --


@pytest.mark.parametrize("method", ["sgd", "sam", "usam", "gsam:alpha=0.3", "ssam:ascent=normalised"])
@pytest.mark.parametrize("spec", ["full", "tau-nice:tau=4"])
def test_the_lab_follows_the_engine(method: str, spec: str, linear: tuple[Objective, LeastSquaresProblem]) -> None:
    objective, problem = linear
    rule, steps = methods.build(method), 60
    network = NetworkProblem(objective, name="network", L=1.0)
    settings = [
        make_setting(
            p, sampling=samplings.build(spec, problem=p), method=rule, gamma=0.2, rho=0.1 if rule.uses_rho else 0.0
        )
        for p in (network, problem)
    ]
    times = np.arange(0, steps + 1, 10)
    lab = NetworkLab(objective, range(3), seed=5).iterates(settings[0], times)
    copies = 1 if spec == "full" else 3
    runs = [
        simulate(
            settings[1], steps=steps, times=times, replicates=copies, seed=5, iterates=True, tier="textbook",
            starts=np.tile(settings[1].x0 + shift, (copies, 1)),
        ).points
        for shift in (0.0, np.spacing(1.0))
    ]  # fmt: skip
    # Ten times what one ulp in the start does, and 1e-12: the sense in which two implementations agree.
    allowed = 10 * np.abs(runs[0] - runs[1]) + 1e-12 * (1 + np.abs(runs[0]))
    assert lab.shape == runs[0].shape
    assert (np.abs(lab - runs[0]) <= allowed.max(axis=(0, 2), keepdims=True)).all()
    gaps, norms = NetworkLab(objective).values(settings[0], lab.reshape(-1, 3))
    for x, gap, norm in zip(lab.reshape(-1, 3), gaps, norms, strict=True):
        # A dozen terms and their sum.
        assert gap == pytest.approx(problem.value(x), rel=1e-12)
        assert norm == pytest.approx(float(np.sum(problem.gradient(x) ** 2)), rel=1e-10, abs=1e-20)


def test_measured_constants_of_a_quadratic_are_its_own(linear: tuple[Objective, LeastSquaresProblem]) -> None:
    objective, problem = linear
    points = [torch.as_tensor(x) for x in np.random.default_rng(1).standard_normal((6, 3))]
    sampling = samplings.build("tau-nice:tau=4", problem=problem)
    found = measured_constants(objective, points, sampling)
    # Eigenvalues of a 3 x 3 matrix, by an iteration that stops at 1e-4.
    assert pytest.approx(problem.L.value, rel=1e-4) == found.L
    assert found.L <= found.L_S * (1 + 1e-12)
    atoms = list(sampling.atoms())
    for point in points:
        x = point.numpy()
        allowed = 2 * found.A * problem.value(x) + found.B * float(np.sum(problem.gradient(x) ** 2)) + found.C
        mean = sum(
            atom.probability * float(np.sum(problem.minibatch_gradient(x, atom.indices, atom.weights) ** 2))
            for atom in atoms
        )
        # The constants of a linear program, to the tolerance of its solver.
        assert mean <= allowed * (1 + 1e-6)


def test_facts_of_a_network_are_estimates(linear: tuple[Objective, LeastSquaresProblem]) -> None:
    objective, _ = linear
    problem = NetworkProblem(objective, name="network", L=2.0)
    sampling = samplings.build("full", problem=problem)
    setting = network_setting(problem, sampling=sampling, method=methods.build("gsam:alpha=0.1"), gamma=0.1, rho=0.1)
    facts = network_facts(setting, Constants(2.0, 2.5, 0.3, 1.0, 1.0, 0.2, 4))
    assert facts.estimated
    assert facts.grades["L_f"] is Grade.ESTIMATE
    assert facts.gap0 == problem.value(setting.x0)
    with pytest.raises(OutsideHypotheses):
        claims["gsam/weighted-gradient"].require(replace(facts, gamma=make_setting(problem, gamma=1.0).gamma))


def test_curvature_of_samples_counts_their_weights(linear: tuple[Objective, LeastSquaresProblem]) -> None:
    """f_v = v_i f_i/n with v_i = 1/p_i: rarely drawn examples are heavy."""
    objective, problem = linear
    p = np.arange(1, 13) / 78
    points = [torch.as_tensor(x) for x in np.random.default_rng(1).standard_normal((3, 3))]
    found = measured_constants(objective, points, single(p))
    drawn = draw_batches(
        single(p), seeds=np.array([0]), replicates=np.array([0]), first=0, last=BATCHES
    ).indices.ravel()
    A = objective.inputs.numpy()
    sizes = [(float(np.sum(A[i] ** 2)) + 0.1) / (12 * p[i]) for i in drawn]
    assert pytest.approx(max(problem.L.value, *sizes), rel=1e-4) == found.L_S
    with pytest.raises(InputError, match="sampling must weigh the examples of one batch alike"):
        measured_constants(objective, points, replacement(p, 3))


def test_constants_of_single_examples_are_not_made_up(linear: tuple[Objective, LeastSquaresProblem]) -> None:
    problem = NetworkProblem(linear[0], name="network", L=2.0)
    setting = network_setting(
        problem, sampling=samplings.build("full", problem=problem), method=methods.build("sam"), gamma=0.1, rho=0.1
    )
    facts = network_facts(setting, Constants(2.0, 2.5, 0.3, 1.0, 1.0, 0.2, 4))
    assert facts.L_max == facts.L_avg == np.inf


def test_a_pilot_goes_where_the_method_goes(linear: tuple[Objective, LeastSquaresProblem]) -> None:
    objective, _ = linear
    x0 = torch.ones(3, dtype=torch.float64)
    found = bounds._pilot(objective, x0, "unified-sam", 0.1, 0.2, 0.25, 4, sampling="tau-nice:tau=4")
    g = objective.gradient(x0)
    assert len(found) == 2 * 3 * 5
    # lam = 1/4: three quarters of the radius along g, one along its direction.
    torch.testing.assert_close(found[15], x0 + 0.2 * (0.75 * g + 0.25 * g / g.norm()), rtol=1e-13, atol=0)


def test_a_bound_of_the_catalogue_can_be_violated_on_a_network(linear: tuple[Objective, LeastSquaresProblem]) -> None:
    objective, _ = linear
    claim = claims["gsam/weighted-gradient"]
    problem = NetworkProblem(objective, name="network", L=1.0)
    sampling = samplings.build("tau-nice:tau=4", problem=problem)
    setting = network_setting(problem, sampling=sampling, method=methods.build("gsam:alpha=0.1"), gamma=0.05, rho=0.05)
    points = [torch.as_tensor(x) for x in NetworkLab(objective, range(2)).iterates(setting, [0, 10, 30]).reshape(-1, 3)]
    facts = network_facts(setting, measured_constants(objective, points, sampling))

    def evidence(scale: dict[str, float]) -> Verdict:
        case = Case(claim, setting, facts, 40, scale, "network", "")
        return trial_evidence(
            "weighted sum", case, seed=0, instances=1, progress=Progress(), budget=1e5,
            lab=lambda copies: NetworkLab(objective, copies),
        ).verdict  # fmt: skip

    assert evidence({}) is Verdict.CONSISTENT
    assert evidence({"rate": 50.0}) is Verdict.VIOLATED


# -- what is seen --


def test_intervals_are_students() -> None:
    found = seen("x", [1.0, 2.0, 3.0, 6.0], least=0.0, most=10.0)
    # By hand: mean 3, deviation 2.160247, t = 3.182446 for 3 degrees of freedom.
    assert (found.low, found.high) == pytest.approx(
        (3 - 3.182446 * 2.160247 / 2, 3 + 3.182446 * 2.160247 / 2), rel=1e-4
    )
    assert (found.met, found.refuted, found.word) == (False, False, "undecided")
    assert replace(found, least=-10.0).word == "met"
    assert replace(found, least=7.0).word == "refuted"
    assert replace(found, most=-1.0, least=-9.0).word == "refuted"


def test_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    normal = [seen("x", row) for row in rng.normal(2.0, 3.0, (2000, 6))]
    # 95 % of 2000 with a standard deviation of 0.5 %.
    assert 0.935 < np.mean([s.low <= 2 <= s.high for s in normal]) < 0.965
    # A statement just broken is called met, and one that just holds refuted, once in forty.
    assert np.mean([replace(s, least=2.0).met for s in normal]) < 0.04
    assert np.mean([replace(s, least=2.0).refuted for s in normal]) < 0.04


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, float("nan"), 2.0], [[1.0, 2.0, 3.0]]])
def test_values_that_are_no_sample_are_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="finite numbers or more"):
        seen("x", values)


def planted(*found: Seen | Judged) -> NetworkClaim:
    def look(effort: Effort) -> Sequence[Seen | Judged]:
        return found

    return NetworkClaim("net/planted", "planted", "planted", "", look)


def test_verdicts() -> None:
    met = seen("met", [1.0, 1.1, 0.9], least=0.0, most=2.0)
    other = seen("other", [5.0, 5.1, 4.9], least=0.0, most=2.0)
    open_ = seen("open", [0.0, 4.0, 1.0], least=0.0, most=2.0)
    broken, standing = replace(other, control=True), replace(met, control=True)
    result = judge(planted(met, broken), Effort())
    assert (result.verdict, result.reason, result.decided) == (Verdict.CONSISTENT_ESTIMATED, "", True)
    result = judge(planted(met, other, broken), Effort())
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason.startswith("seen instead: other")
    assert result.decided
    result = judge(planted(met, open_, broken), Effort())
    assert result.reason.startswith("too few seeds to decide: open")
    assert not result.decided
    result = judge(planted(met, standing), Effort())
    assert result.reason.startswith("a control was not refuted: met")
    # A control that the seeds leave undecided has shown nothing.
    assert judge(planted(met, replace(open_, control=True)), Effort()).controls_refuted == 0


def test_nothing_is_consistent_without_a_control_or_with_controls_alone() -> None:
    met = seen("met", [1.0, 1.1, 0.9], least=0.0, most=2.0)
    broken = replace(seen("other", [5.0, 5.1, 4.9], least=0.0, most=2.0), control=True)
    for found, word in (((met,), "no control"), ((broken,), "no comparison"), ((), "no control")):
        result = judge(planted(*found), Effort())
        assert result.verdict is Verdict.INCONCLUSIVE
        assert result.reason.startswith(word)


def test_what_cannot_be_measured_is_said() -> None:
    def look(effort: Effort) -> Sequence[Seen | Judged]:
        raise InputError("x must be y, got z")

    result = judge(NetworkClaim("net/planted", "", "", "", look), Effort())
    assert (result.verdict, result.decided) == (Verdict.INCONCLUSIVE, False)
    assert result.reason == "not measured: x must be y, got z"


# -- the claims themselves --


def test_every_claim_is_there_and_reuses_one_that_exists() -> None:
    assert set(network_claims) == CLAIMS
    for claim in network_claims.values():
        assert claim.statement.endswith(".")
        assert claim.reuses in claims or claim.id == "net/batch-schedules"
    with pytest.raises(InputError, match="unknown network claim"):
        network_claims["net/nothing"]


def test_starts_and_data_are_those_of_the_seeds() -> None:
    first, again, later = digits_starts(0, 3), digits_starts(0, 3), digits_starts(1, 2)
    assert torch.equal(first, again)
    assert torch.equal(first[1:], later)
    objective = digits_objective("squared")
    assert (objective.n, objective.d) == (400, first.shape[1])
    assert torch.equal(objective.targets.sum(dim=1), torch.ones(400, dtype=torch.float64))


def test_a_minimum_is_one() -> None:
    objective = digits_objective("cross-entropy", examples=40, reg=0.1)
    at = inner.minimum_from(objective, digits_starts(0, 1)[0])
    assert float(objective.gradient(at).norm()) <= inner.STATIONARY
    e = torch.randn(objective.d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert all(float(objective.value(at + s * e / e.norm())) > float(objective.value(at)) for s in (-0.1, 0.1))


def test_a_saddle_is_no_minimum() -> None:
    """A network whose two layers are 0 has a zero gradient there and a way down."""

    class Product(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs * self.w[0] * self.w[1]

    one = torch.ones(2, 1, dtype=torch.float64)
    objective = Objective(Product(), one, one, loss="squared")
    with pytest.raises(InputError, match="no negative eigenvalue, got -1"):
        inner.minimum_from(objective, objective.start)


@pytest.mark.parametrize("limit", [0.0, 1.0, np.inf])
def test_steps_beyond_the_grid_are_not_made_up(limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every step or none trains, the longest one is not known; between, it is."""

    def planted_runs(objective: Objective, rows: torch.Tensor, **options: Any) -> SimpleNamespace:
        after = np.where(np.array(options["gamma"]) < limit, 0.1, np.nan)
        return SimpleNamespace(loss=np.stack([np.ones(len(rows)), after], axis=1))

    monkeypatch.setattr(training, "train", planted_runs)
    if limit == 1:
        grid = np.geomspace(0.05, 5.0, 17)
        assert all((found == grid[grid < 1][-1]).all() for found in training.longest_steps(Effort(3)).values())
        return
    with pytest.raises(InputError, match=r"the longest step of sgd must lie within the grid 0\.05\.\.5, got an end"):
        training.longest_steps(Effort(3))


def test_records_are_of_both_sides_of_a_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Values] = []

    def only_times(*given: object, **options: object) -> None:
        taken.append(np.asarray(options["times"]))

    monkeypatch.setattr(edges, "train", only_times)
    for steps in (900, 1200, 4000, 5000):
        edges._trained("sam", 0.3, 0.1, Effort(1), steps)
        assert set(taken[-1] % 2) == {0, 1}


def test_the_top_eigenvalue_of_the_edges_is_the_largest() -> None:
    """Against ARPACK where a run ends; several eigenvalues lie within two percent of the top one there."""
    objective, x0 = digits_objective("squared"), digits_starts(0, 2)
    run = ensemble.train(
        objective, x0, steps=310, gamma=0.3, rho=0.1, method="sam", times=np.arange(0, 311, 31), top_steps=edges.LANCZOS
    )
    exact = [float(eigenpairs(objective, x).values[0]) for x in run.x]
    # The residual allowed is 2 %; values are off by less.
    assert run.top[:, -1].tolist() == pytest.approx(exact, rel=2e-3)
    assert (edges._top(run) == run.top[:, 7:]).all()
    with pytest.raises(InputError, match="top_steps must be enough for a residual"):
        edges._top(replace(run, top_residual=0.03 * run.top))


def test_bounces_are_measured_on_a_quadratic() -> None:
    """Where the 2-cycle is exact: every step turns, and half of one is the radius, all of it along v_1."""
    q = quadratic(reg=0.2)
    eigenvalues, basis = np.linalg.eigh(q.H)
    gamma, rho = 0.9 / eigenvalues[-1], 0.1
    x, moves = np.array(q.minimiser + 0.3 * basis.sum(axis=1)), []
    for t in range(4000):
        g = q.H @ (x - q.minimiser)
        step = -gamma * q.H @ (x + rho * g / np.linalg.norm(g) - q.minimiser)
        x = x + step
        if t >= 3990:
            moves.append(step)
    stepped = torch.tensor(np.array(moves))[None]
    pairs = edges._Pairs(
        torch.tensor(eigenvalues[::-1].copy())[None, :2], torch.tensor(basis[:, ::-1].copy())[None, :, :2]
    )
    found = edges._amplitudes(stepped, pairs, gamma, rho)
    for value in (found.whole, found.along, found.inside):
        assert value == pytest.approx([1.0], rel=1e-9)
    # gamma lambda_1 = 0.9: the radius is 1/(1 - 0.45) times its small-step form.
    assert found.small == pytest.approx([1 / 0.55], rel=1e-9)
    assert edges._turns((stepped @ pairs.vectors)[..., 0]).tolist() == [1.0]
    drift = torch.ones(1, 5, 4, dtype=torch.float64)
    assert edges._turns((drift @ pairs.vectors)[..., 0]).tolist() == [0.0]


def test_ascent_spends_its_budget() -> None:
    objective = digits_objective("cross-entropy", examples=40)
    x = digits_starts(0, 1)[0]
    for n in (1, 4):
        away = inner.ascended(objective, x, 0.3, n) - x
        # n unit steps of 0.3/n: no further than 0.3, and as far for one.
        assert float(away.norm()) <= 0.3 * (1 + 1e-12)
    g = objective.gradient(x)
    torch.testing.assert_close(inner.ascended(objective, x, 0.3, 1), x + 0.3 * g / g.norm(), rtol=1e-13, atol=0)


def test_a_networks_claim_sees_the_wrong_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """If what trains as SSAM were USAM, the range of steps would say so."""
    real = ensemble.train

    def exchanged(objective: Objective, x0: torch.Tensor, **options: object) -> object:
        if options["method"] == "ssam:ascent=unnormalised":
            options["method"] = "usam"
        return real(objective, x0, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train", exchanged)
    found = {entry.what: entry for entry in training.step_range(Effort(3)) if isinstance(entry, Seen)}
    assert found["longest step: SSAM, unnormalised/gradient descent"].word != "met"
    assert found["longest step: SSAM, normalised/gradient descent"].word == "met"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.json"
    assert run_command(["net", "verify", "net/usam-edge", "--jobs", "1", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    (claim,) = content["claims"]
    assert claim["verdict"] == "consistent (estimated constants)"
    assert claim["controls_refuted"] == claim["controls"] == 1
    edge = claim["seen"][0]
    assert edge["seeds"] == 6
    # USAM's edge is where training ends up: within a tenth of it, and gradient descent's edge is not.
    assert 0.9 < edge["interval"][0] < edge["interval"][1] < 1.1
    printed = capsys.readouterr().out
    assert "net/usam-edge: consistent (estimated constants)" in printed
    assert "1 of 1 controls refuted" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing/*"], "no network claim matches 'nothing/*'"),
        (["--profile", "slow"], "profile must be quick or full, got 'slow'"),
        (["--seed", "-1"], "seed"),
        (["--json", "x.txt"], "json must end in .json"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["net", "verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
