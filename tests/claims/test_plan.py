"""ravine plan: what is promised follows from the claims, and is kept when it is run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.engine.run import Progress
from experiments.verify.reached import affordable, run_plan
from problems.errors import InputError
from problems.problem import problems
from ravine.cli import run_command
from theory.claim import claims
from theory.methods.method import methods
from theory.plan import EXTRA, plan, promise, speaks_of, target_steps
from theory.samplings import samplings
from theory.schedules import constant
from theory.setting import facts_of, make_setting


def test_closed_form_without_noise() -> None:
    """SGD on a quadratic: the largest step gamma* is best, and t = ceil(ln(D_0/epsilon)/-ln(1 - gamma* mu))."""
    made = problems.build("quadratic:d=5,mu=0.2,L=1")
    (one,) = plan(made, methods.build("sgd"), 1e-5)
    facts = facts_of(one.setting)
    gamma = facts.mu / (facts.L_f * (facts.B * facts.mu + facts.A))
    assert one.gamma.largest == pytest.approx(gamma, rel=1e-9)
    assert one.steps == math.ceil(math.log(facts.gap0 / 1e-5) / -math.log1p(-gamma * facts.mu))
    assert one.sample_gradients == one.steps


@pytest.mark.parametrize("method", ["unified-sam:lam=0.5", "sam", "usam", "sgd"])
def test_every_promise_is_what_its_claim_says(method: str) -> None:
    made = problems.build("quadratic-sum:n=6,d=3,mu=0.5,L=1,noise=0.5,seed=4")
    found = plan(made, methods.build(method), 0.05)
    assert {one.sampling.partition(":")[0] for one in found} == {"uniform", "importance", "full", "tau-nice"}
    for one in found:
        claim, facts = claims[one.claim], facts_of(one.setting)
        assert claim.admits(facts), one
        now, before = claim.bound(facts, np.array([one.steps, one.steps - 1]))
        assert now <= 0.05 < before
        assert one.sample_gradients == one.steps * one.setting.sampling.expected_size * (1 if method == "sgd" else 2)
        assert not one.setting.method.uses_rho or one.rho.largest > 0


def test_the_radius_costs_a_tenth_at_most() -> None:
    made = problems.build("quadratic-sum:n=6,d=3,mu=0.5,L=1,noise=0.5,seed=4")
    claim = claims["unified-sam/pl-constant"]
    setting = make_setting(made, sampling=samplings.build("uniform", problem=made), method=methods.build("usam"))
    chosen, none = promise(claim, setting, 0.05), promise(claim, setting, 0.05, rho=constant(0.0))
    assert chosen is not None
    assert none is not None
    assert none.steps <= chosen.steps <= math.ceil((1 + EXTRA) * none.steps)
    # A radius half as large again would cost more than that.
    wider = promise(claim, setting, 0.05, rho=constant(1.5 * chosen.rho.largest))
    assert wider is None or wider.steps > math.ceil((1 + EXTRA) * none.steps)


def test_target_steps_is_the_first_step() -> None:
    made = problems.build("quadratic:d=3,mu=0.1,L=1")
    facts = facts_of(make_setting(made, method=methods.build("usam"), gamma=0.3, rho=0.01))
    claim = claims["unified-sam/pl-constant"]
    t = target_steps(claim, facts, 1e-3)
    assert t is not None
    later = claim.bound(facts, np.arange(t + 1))
    assert later[t] <= 1e-3
    assert (later[:t] > 1e-3).all()
    assert target_steps(claim, replace(facts, mu=0.0), 1e-3) is None


@pytest.mark.parametrize(
    ("spec", "method", "epsilon"),
    [
        ("quadratic-sum:n=6,d=3,mu=0.5,L=1,noise=0.5,seed=4", "unified-sam:lam=0.5", 0.3),
        ("ridge:data=diabetes,reg=0.5,scale=rows", "sgd", 30.0),
        ("sine-stall:rho=1,beta=1", "sam", 0.1),
    ],
)
def test_promises_are_kept(spec: str, method: str, epsilon: float) -> None:
    for one in plan(problems.build(spec), methods.build(method), epsilon):
        assert affordable(one) is None
        found = run_plan(one, epsilon, seed=1, progress=Progress())
        assert found.outcome == "reached", (one, found)
        assert found.first is not None
        assert found.first <= one.steps


def test_a_promise_that_is_too_good_is_missed() -> None:
    """Run for a third of the steps that are needed at a step size where the bound is nearly attained."""
    made = problems.build("quadratic:d=1,mu=1,L=1")
    setting = make_setting(made, method=methods.build("sgd"), gamma=0.01, x0=np.array([10.0]))
    one = promise(claims["sgd/pl"], setting, 1e-3)
    assert one is not None
    short = replace(one, setting=setting, steps=300)
    assert run_plan(short, 1e-3, seed=0, progress=Progress()).outcome == "missed"


def test_which_claims_speak_of_a_method() -> None:
    u1, sgd = claims["unified-sam/pl-constant"], claims["sgd/pl"]
    for name in ("sam", "usam", "unified-sam:lam=0.3"):
        assert speaks_of(u1, methods.build(name))
        assert not speaks_of(sgd, methods.build(name))
    assert speaks_of(sgd, methods.build("sgd"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "plan.json"
    words = ["plan", "--problem", "quadratic-sum:n=6,d=3,mu=0.5,L=1,noise=0.5,seed=4", "--epsilon", "0.3", "--check"]
    assert run_command([*words, "--json", str(target)]) == 0
    out = capsys.readouterr().out
    assert "ravine run --problem" in out
    assert out.count("target reached") == 4
    rows = json.loads(target.read_text())["plans"]
    assert all(row["check"]["outcome"] == "reached" and row["steps"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--epsilon", "0"], "epsilon must be a positive finite number, got 0.0"),
        (["--epsilon", "x"], "epsilon"),
        (["--epsilon", "1e-3", "--method", "sgd", "--rho", "0.1"], "rho is not used by sgd"),
        (["--epsilon", "1e-6", "--method", "gsam", "--rho", "1"], "is promised by no claim"),
        (["--epsilon", "1e-3", "--json", "nowhere/x.json"], "json"),
    ],
)
def test_bad_input(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plan", "--problem", "quadratic:d=3,mu=0.1,L=1", *words]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_no_claim_for_a_method() -> None:
    made = problems.build("quadratic:d=3,mu=0.1,L=1")
    rule = replace(methods.build("sgd"), name="unheard-of", data=("nothing",))
    with pytest.raises(InputError, match="no claim that promises a rate"):
        plan(made, rule, 1e-3)
