"""Where instances are drawn: random finite sums, PL functions, tight families and bundled real data.

Every instance is made of SPECs, so that one command line repeats it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np

from problems.errors import InputError
from problems.problem import Problem, Vector, as_vector, problems
from problems.spec import read_int
from theory.claim import Claim, Family, Instance
from theory.horizon import fit, horizon
from theory.methods.method import Method, methods
from theory.samplings import read_array, samplings
from theory.schedules import read_schedule
from theory.setting import Setting, facts_of, make_setting

Origin = Literal["synthetic", "tight", "data", "corpus"]

LAMBDAS = ("0", "0.1", "0.5", "0.9", "1")
LONGEST_RUN = 4_000_000
SHORT_RUN = 2_000


@lru_cache(maxsize=64)
def problem_of(spec: str) -> Problem:
    """The problem of a SPEC, made once (real data have constants worth keeping)."""
    return problems.build(spec)


def read_start(text: str | None, problem: Problem) -> Vector:
    """A start: `start` (the problem's own), `zeros`, `random` (standard normal, seed 0), `scaled:FACTOR` (the
    problem's own, FACTOR times as far from the minimiser), an `.npy` file, or numbers as 0.5/-1/2."""
    if text is None or text == "start":
        return problem.start.copy()
    if text == "zeros":
        return np.zeros(problem.d)
    if text == "random":
        return np.random.default_rng(0).standard_normal(problem.d)
    if text.startswith("scaled:"):
        centre = problem.centre
        try:
            factor = float(text.removeprefix("scaled:"))
        except ValueError:
            raise InputError(f"x0 must scale by a number, got {text!r}; write scaled:10") from None
        return as_vector(centre + factor * (problem.start - centre), argument="x0", size=problem.d)
    return as_vector(read_array(text, argument="x0"), argument="x0", size=problem.d)


def method_of(claim: Claim, spec: str | None = None, *, lam: str = "0.5") -> Method:
    """The claim's method, or another with its name that the SPEC gives. Raises InputError for one of another name."""
    if spec is None:
        return methods.build(f"{claim.method}:lam={lam}" if claim.method == "unified-sam" else claim.method)
    method, own = methods.build(spec), methods.build(claim.method)
    if method.family != own.family:
        raise InputError(f"{claim.id} speaks of {own.family}, got method {spec!r}; write {own.name}")
    return method


def setting_of(
    claim: Claim,
    problem: str,
    sampling: str = "full",
    *,
    lam: str = "0.5",
    x0: str | None = None,
    method: str | None = None,
) -> Setting:
    """The claim's method on a problem and a sampling given by SPEC, step sizes still to be chosen."""
    made = problem_of(problem)
    rule = method_of(claim, method, lam=lam)
    return make_setting(made, sampling=samplings.build(sampling, problem=made), method=rule, x0=read_start(x0, made))


def replay(problem: str, sampling: str, setting: Setting, steps: int, x0: str | None) -> str:
    """The arguments of `ravine check` that repeat an instance."""
    words = [f"--problem {shlex.quote(problem)}", f"--sampling {shlex.quote(sampling)}", f"--gamma {setting.gamma}"]
    if setting.method.uses_rho:
        words.append(f"--rho {setting.rho}")
    if setting.method.uses_rho and setting.method.uses_lam:
        words.append(f"--lam {setting.lam}")
    if ":" in setting.method.name and setting.method.family != "unified-sam":
        words.append(f"--method {shlex.quote(setting.method.name)}")
    if x0 is not None:
        words.append(f"--x0 {x0}")
    return " ".join([*words, f"--steps {max(steps, 1)}"])


def instance_of(claim: Claim, text: str, *, origin: Origin = "synthetic") -> Instance:
    """The instance that `replay` wrote. Raises InputError for text that is not its work."""
    words = shlex.split(text)
    options = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or not options.keys() <= _OPTIONS or not {"--problem", "--gamma", "--steps"} <= options.keys():
        raise InputError(f"replay must be arguments of ravine check as it prints them, got {text!r}")
    problem, sampling = options["--problem"], options.get("--sampling", "full")
    setting = setting_of(
        claim,
        problem,
        sampling,
        lam=options.get("--lam", "0.5"),
        x0=options.get("--x0"),
        method=options.get("--method"),
    )
    setting = setting.with_steps(
        gamma=read_schedule(options["--gamma"], argument="gamma"),
        rho=read_schedule(options.get("--rho", "0"), argument="rho"),
    )
    steps = read_int(options["--steps"], argument="steps")
    return finish(problem, sampling, setting, steps, options.get("--x0"), origin)


_OPTIONS = {"--method", "--problem", "--sampling", "--gamma", "--rho", "--lam", "--x0", "--steps"}


def given(
    claim: Claim,
    problem: str,
    sampling: str = "full",
    *,
    lam: str = "0.5",
    gamma: float | None = None,
    rho: float = 0.0,
    x0: str | None = None,
    steps: int | None = None,
    origin: Origin = "synthetic",
    theta: float | None = None,
    method: str | None = None,
) -> Instance:
    """An instance from SPECs. Step sizes: gamma and rho as given; else theta times the admissible ones; else what
    makes the bound informative soonest. steps: default that horizon."""
    setting = setting_of(claim, problem, sampling, lam=lam, x0=x0, method=method)
    if gamma is not None:
        setting = setting.with_steps(gamma=gamma, rho=rho)
    elif theta is not None:
        pair = claim.suggest(facts_of(setting), theta, theta)
        setting = setting.with_steps(gamma=pair[0], rho=pair[1])
    found: int | None = steps
    if found is None:
        setting, found = fit(claim, setting, longest=LONGEST_RUN)
    return finish(problem, sampling, setting, 1000 if found is None else found, x0, origin)


def finish(problem: str, sampling: str, setting: Setting, steps: int, x0: str | None, origin: Origin) -> Instance:
    """Wrap a setting made from these SPECs."""
    return Instance(setting, steps, origin, replay(problem, sampling, setting, steps, x0))


def at_the_limit(claim: Claim, problem: str, sampling: str, *, lam: str, theta: float = 1.0) -> Instance:
    """Step sizes theta times the largest admissible, with the start moved out until the bound is informative there."""
    best: Instance | None = None
    for power in range(0, 40, 2):
        x0 = f"scaled:{2**power}"
        setting = setting_of(claim, problem, sampling, lam=lam, x0=x0)
        facts = facts_of(setting)
        gamma, rho = claim.suggest(facts, theta, theta)
        if gamma.largest * facts.mu > 0.9:
            # One step would reach the minimiser to rounding and leave nothing to compare.
            gamma, rho = claim.suggest(facts, theta / 2, theta / 2)
        steps = horizon(claim, facts.with_steps(gamma, rho), longest=LONGEST_RUN)
        if steps is not None and (best is None or steps < best.steps):
            best = finish(problem, sampling, setting.with_steps(gamma=gamma, rho=rho), steps, x0, "synthetic")
        if best is not None and best.steps <= SHORT_RUN:
            break
    return best or given(claim, problem, sampling, lam=lam)


def random_sampling(rng: np.random.Generator, n: int) -> str:
    """The SPEC of one of the eight kinds, with random probabilities where it has any."""
    kind = rng.choice(
        ["uniform", "importance", "single", "tau-nice", "replacement", "independent", "partition", "full"]
    )
    if kind == "single":
        p = rng.dirichlet(np.ones(n)) * 0.8 + 0.2 / n
        return "single:p=" + "/".join(repr(float(entry)) for entry in p / p.sum())
    if kind == "independent":
        return "independent:p=" + "/".join(repr(round(float(entry), 3)) for entry in rng.uniform(0.2, 1.0, n))
    if kind in ("tau-nice", "replacement"):
        return f"{kind}:tau={rng.integers(1, n + 1)}"
    if kind == "partition":
        return f"partition:blocks={rng.integers(1, n + 1)}"
    return str(kind)


def random_sum(rng: np.random.Generator, *, indefinite: bool, noise: float | None = None) -> tuple[str, int]:
    """The SPEC of a random finite sum of quadratics, and n. noise: at x*, random by default; 0 interpolates."""
    # Not d = 1: there some L_i come out tiny, and the rare huge weights 1/(n p_i) outgrow any affordable sample.
    n, d = int(rng.integers(2, 8)), int(rng.integers(2, 5))
    mu = round(float(rng.uniform(0.3, 0.9)), 3)
    size = round(float(rng.uniform(0.1, 0.4)), 3) if indefinite else 0
    level = rng.choice([0.1, 1.0]) if noise is None else noise
    return f"quadratic-sum:n={n},d={d},mu={mu},L=1,indefinite={size},noise={level:g},seed={rng.integers(10**6)}", n


def sums_at_the_limit(rng: np.random.Generator, claim: Claim) -> Instance:
    """Random convex finite sums, any sampling, any lambda, steps at the limit."""
    problem, n = random_sum(rng, indefinite=False)
    return at_the_limit(claim, problem, random_sampling(rng, n), lam=str(rng.choice(LAMBDAS)))


def sums_inside(rng: np.random.Generator, claim: Claim) -> Instance:
    """Random convex finite sums, any sampling, any lambda, steps at random inside the admissible set."""
    problem, n = random_sum(rng, indefinite=False)
    return at_the_limit(
        claim, problem, random_sampling(rng, n), lam=str(rng.choice(LAMBDAS)), theta=float(rng.uniform(0.3, 1.0))
    )


def indefinite_sums(rng: np.random.Generator, claim: Claim) -> Instance:
    """Random finite sums with indefinite components, any sampling, any lambda."""
    problem, n = random_sum(rng, indefinite=True)
    return at_the_limit(claim, problem, random_sampling(rng, n), lam=str(rng.choice(LAMBDAS)))


def deterministic_quadratics(rng: np.random.Generator, claim: Claim) -> Instance:
    """Random QPs and prescribed spectra, full batch."""
    lam, seed, d = str(rng.choice(LAMBDAS)), int(rng.integers(10**6)), int(rng.integers(2, 12))
    if rng.random() < 0.5:
        return at_the_limit(claim, f"random-qp:d={d},cond={rng.uniform(1, 8):.3g},seed={seed}", "full", lam=lam)
    spectrum = rng.choice(["log", "linear", "two", "uniform"])
    mu = rng.uniform(0.2, 1.0)
    return at_the_limit(claim, f"quadratic:d={d},mu={mu:.3g},L=1,seed={seed},spectrum={spectrum}", "full", lam=lam)


def wavy(noise: str, sampling: str) -> Callable[[np.random.Generator, Claim], Instance]:
    """Non-convex PL functions x^2 + a sin^2 x with the given noise."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        a = round(float(rng.uniform(0.5, 2.0)), 2)
        kind = rng.choice(["separable", "rotated", "linear"])
        extra = ",cond=1.5" if kind == "linear" else ""
        # Multiplicative noise compounds: at level 0.6 the tails outgrow any affordable sample.
        level = "" if noise == "none" else f",n=4,level={0.2 if noise == 'multiplicative' else rng.choice([0.3, 0.6])}"
        d = int(rng.integers(2, 4))
        problem = f"pl-sine:d={d},a={a},map={kind}{extra},noise={noise}{level},seed={rng.integers(10**6)}"
        return given(claim, problem, sampling, lam=str(rng.choice(LAMBDAS)))

    return draw


def data(problem: str, *choices: tuple[str, str]) -> Family:
    """Bundled real data: for each (sampling, lambda) in turn, steps that make the bound informative soonest."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        sampling, lam = choices[int(rng.integers(len(choices)))]
        return given(claim, problem, sampling, lam=lam, origin="data")

    return Family(problem, draw, quick=1, full=2 * len(choices))
