"""The checker itself: what it accepts and what it must refuse."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.derivation import Broken, Fact, Limit, Monotone, Quadratic, Step
from theory.inner_product import dot, norm2, square, vectors

x, y = sp.symbols("x y", real=True)
p = sp.Symbol("p", positive=True)
s = sp.Symbol("s", nonnegative=True)
NOTHING: dict[str, Fact] = {}


def given(**facts: tuple[sp.Expr, str]) -> dict[str, Fact]:
    return {name: Fact(e, sign, frozenset({name})) for name, (e, sign) in facts.items()}  # type: ignore[arg-type]


def test_a_square_is_a_certificate() -> None:
    fact = Step("amgm", 2 * x * y, "<=", x**2 + y**2, by=(((x - y) ** 2,),)).check(NOTHING)
    assert fact.sign == ">="


def test_a_product_of_anything_is_none() -> None:
    with pytest.raises(Broken, match="nothing known says"):
        Step("no", 0, "<=", x * y, by=((x, y),)).check(NOTHING)


def test_a_wrong_factor_is_refused() -> None:
    with pytest.raises(Broken, match="certificate is"):
        Step("no", 3 * x * y, "<=", x**2 + y**2, by=(((x - y) ** 2,),)).check(NOTHING)


def test_an_equality_takes_no_inequality() -> None:
    with pytest.raises(Broken, match="an equality needs"):
        Step("no", x, "=", x + s, by=((s,),)).check(NOTHING)


def test_an_equation_may_be_multiplied_by_anything() -> None:
    facts = given(circle=(x**2 + y**2 - 1, "="))
    assert Step("yes", x * (x**2 + y**2), "=", x, by=((-x, "circle"),)).check(facts).sign == "="


def test_strict_needs_a_positive_term() -> None:
    assert Step("yes", 0, "<", p + s, by=((p,), (s,))).check(NOTHING).sign == ">"
    with pytest.raises(Broken, match="strict"):
        Step("no", 0, "<", s, by=((s,),)).check(NOTHING)


def test_a_strict_inequality_is_not_had_from_a_weak_fact() -> None:
    with pytest.raises(Broken, match="strict"):
        Step("no", 0, "<", x, by=(("weak",),)).check(given(weak=(x, ">=")))


def test_an_even_number_of_negative_facts_is_no_certificate() -> None:
    """Only facts that say >= 0 count; x <= 0 is written -x >= 0 and cannot be used for x."""
    with pytest.raises(Broken):
        Step("no", 0, "<=", x, by=(("negative",),)).check(given(negative=(-x, ">=")))


def test_squared_norms_of_combinations() -> None:
    u, v = vectors("u v")
    assert Step("cauchy", -2 * dot(u, v), "<=", norm2(u) + norm2(v), by=((square(u + v),),)).check(NOTHING)
    with pytest.raises(Broken):
        Step("no", -3 * dot(u, v), "<=", norm2(u) + norm2(v), by=((square(u + v),),)).check(NOTHING)


def test_discriminants() -> None:
    facts = given(lead=(p, ">"), disc=(4 * p * s - 4, ">="))
    assert Quadratic("yes", p * x**2 + 2 * x + s, x, "lead", "disc").check(facts).sign == ">="
    with pytest.raises(Broken, match="4 a c"):
        Quadratic("no", p * x**2 + 3 * x + s, x, "lead", "disc").check(facts)


def test_monotone_needs_the_slope_on_the_whole_interval() -> None:
    t, end = sp.symbols("t end", real=True)
    facts = given(low=(t - 1, ">="), order=(end - 1, ">="), high=(t - 5, ">="))
    facts["slope"] = Step("slope", 0, "<=", 2 * t - 2, by=((2, "low"),)).check(facts)
    step = Monotone("yes", (t - 1) ** 2, t, 1, end, "slope", "order")
    assert step.check(facts).expression == (end - 1) ** 2
    facts["slope"] = Step("slope", 0, "<=", 2 * t - 2, by=((2, "high"), (8,))).check(facts)
    with pytest.raises(Broken, match="whole interval"):
        step.check(facts)


def test_limits() -> None:
    assert Limit("yes", (sp.exp(x) - 1) / x, x, 0, 1).check(NOTHING).sign == "="
    with pytest.raises(Broken, match="limit is 1"):
        Limit("no", (sp.exp(x) - 1) / x, x, 0, 2).check(NOTHING)
