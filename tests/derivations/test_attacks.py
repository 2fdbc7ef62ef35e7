"""False proofs: each of these statements is false, or said of nothing, and some way of writing it down must be refused.

Beside an attack stands the honest version where there is one, so that the refusal is not for another reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import sympy as sp

from theory.derivation import (
    AnyStep,
    Broken,
    Derivation,
    Fact,
    Given,
    Induction,
    Instance,
    Lemma,
    Limit,
    Monotone,
    Quadratic,
    Step,
    derivations,
)
from theory.inner_product import SquaredNorm, Vector, dot, norm2, square, vectors

x, y, z = sp.symbols("x y z", real=True)
a, b = sp.symbols("a b", positive=True)
s, S, t = sp.symbols("s S t", nonnegative=True)
u, v = vectors("u v")


def hypothesis(name: str, expression: sp.Expr, sign: str) -> Given:
    return Given(name, expression, sign, "hypothesis", "")  # type: ignore[arg-type]


def proof(*parts: Given | AnyStep, witness: Mapping[str, object] | None = None, id: str = "attack/none") -> Derivation:
    steps = tuple(part for part in parts if not isinstance(part, Given))
    return Derivation(
        id=id,
        title="",
        claims=(),
        given=tuple(part for part in parts if isinstance(part, Given)),
        steps=steps,
        conclusion=steps[-1].name,
        meets=(),
        twins=(),
        witnesses=(witness or {},),
    )


def refused(derivation: Derivation, why: str) -> None:
    faults = derivation.faults()
    assert any(why in fault for fault in faults), faults
    assert all("\n" not in fault for fault in faults)


# -- givens that cannot hold at once --


def test_givens_that_contradict_one_another_prove_nothing() -> None:
    anything = (hypothesis("low", -1 - x, ">="), hypothesis("high", x - 1, ">="))
    absurd = Step("1 <= 0", 1, "<=", 0, by=((sp.Rational(1, 2), "low"), (sp.Rational(1, 2), "high")))
    refused(proof(*anything, absurd, witness={"x": 3}), "'low' does not hold there")
    refused(proof(*anything, absurd, witness={"x": 1}), "witness 1 is none: 'low' does not hold there")
    refused(replace(proof(*anything, absurd), witnesses=()), "no witness shows that what is given can hold at once")


def test_a_strict_given_holds_strictly_at_a_witness() -> None:
    step = Step("square", 0, "<", x**2, by=(("positive", "positive"),))
    assert proof(hypothesis("positive", x, ">"), step, witness={"x": 1}).faults() == []
    refused(proof(hypothesis("positive", x, ">"), step, witness={"x": 0}), "'positive' does not hold there")


def test_a_witness_has_the_signs_of_its_symbols() -> None:
    step = Step("sum", 0, "<", a + x, by=((a,), ("x",)))
    refused(proof(hypothesis("x", x, ">="), step, witness={"a": -1, "x": 2}), "has not the sign of the symbol")


def test_inner_products_are_those_of_vectors() -> None:
    """||u|| = ||v|| = 1 with <u, v> = 2: the numbers fit, but no vectors have them."""
    unit = (hypothesis("u", norm2(u) - 1, "="), hypothesis("v", norm2(v) - 1, "="))
    long = hypothesis("long", dot(u, v) - 2, "=")
    absurd = Step("a norm below 0", norm2(u - v), "<", 0, by=((2,), (-1, "u"), (-1, "v"), (2, "long")))
    numbers = {"|u|^2": 1, "|v|^2": 1, "<u,v>": 2}
    refused(proof(*unit, long, absurd, witness=numbers), "it has no <u,v>, |u|^2, |v|^2")
    refused(proof(*unit, long, absurd, witness={"u": (1, 0), "v": (1, 0)}), "'long' does not hold there")


def test_steps_are_evaluated_where_the_givens_hold() -> None:
    """The check of a step that goes wrong itself is seen at the witness, by another arithmetic."""

    class Gullible(Step):
        def check(self, facts: dict[str, Fact]) -> Fact:
            return Fact(sp.sympify(self.right) - self.left, ">=", frozenset())

    refused(proof(Gullible("no", x, "<=", x - 1)), "no: false at witness 1, where everything given holds")


@pytest.mark.parametrize("name", ["u,v", "<u", "|u|^2"])
def test_the_name_of_a_vector_is_not_that_of_an_inner_product(name: str) -> None:
    with pytest.raises(ValueError, match="vectors got the names"):
        vectors(name)


# -- divisions by zero, roots and logarithms --


def test_one_is_two() -> None:
    same = hypothesis("same", x - y, "=")
    lemma = Step("both", 2 * (x - y), "=", x - y, by=((-1, "same"),))
    absurd = Step("2 = 1", 2, "=", 1, by=((1 / (x - y), "both"),))
    refused(proof(same, lemma, absurd, witness={"x": 1, "y": 1}), "2 = 1: divides by x - y, and nothing known")


def test_a_divisor_in_a_nonnegative_product() -> None:
    """1 <= 1/s wherever s <= 1: at s = 0 it says nothing."""
    step = Step("no", 1, "<=", 1 / s, by=((1 / s, "small"),))
    refused(proof(hypothesis("small", 1 - s, ">="), step, witness={"s": 1}), "no: divides by s")
    step = Step("yes", 1, "<=", 1 / a, by=((1 / a, "small"),))
    assert proof(hypothesis("small", 1 - a, ">="), step, witness={"a": 1}).faults() == []


def test_a_divisor_that_cancels() -> None:
    step = Step("no", (x**2 - 1) / (x - 1), "=", x + 1)
    refused(proof(step), "divides by x - 1, and nothing known says that this is not 0")


def test_a_divisor_in_the_coefficients_of_a_vector() -> None:
    with pytest.raises(Broken, match="divides by x"):
        Step("no", 0, "<=", x**2 * norm2(1 / x * u), by=((x**2, square(1 / x * u)),)).check({})


def test_a_divisor_that_is_zero_in_disguise() -> None:
    """Everything is 0 over 0: sin^2 + cos^2 - 1."""
    nothing = sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1
    refused(proof(Step("no", 1 / nothing, "=", 2 / nothing)), "no: divides by")


def test_divisors_are_shown_by_facts_and_their_factors() -> None:
    facts = {"short": Fact((2 - a * b) * a, ">", frozenset({"short"}))}
    step = Step("yes", b / (2 * b - a * b**2), "=", 1 / (2 - a * b))
    assert step.check(facts).rests_on == {"short"}
    weak = {"short": Fact(2 - a * b, ">=", frozenset({"short"}))}
    with pytest.raises(Broken, match="divides by"):
        step.check(weak)


def test_a_logarithm_needs_more_than_a_nonnegative_argument() -> None:
    weak, strict = ({"x": Fact(x, sign, frozenset({"x"}))} for sign in (">=", ">"))
    step, root = Step("log", sp.log(2 * x), "=", sp.log(2 * x)), Step("root", sp.sqrt(x), "=", sp.sqrt(x))
    assert step.check(strict).rests_on == root.check(weak).rests_on == {"x"}
    with pytest.raises(Broken, match=r"has a root, power or logarithm of 2\*x, and nothing known says .* is positive"):
        step.check(weak)


def test_a_root_of_a_product_counts_the_signs_of_its_factors() -> None:
    """(x - 1)(x - 2) is at most 0 between 1 and 2, and at least 0 up to 1."""
    step = Step("root", sp.sqrt((x - 1) * (x - 2)), "=", sp.sqrt((x - 1) * (x - 2)))
    above, below = Fact(x - 1, ">=", frozenset({"above"})), Fact(1 - x, ">=", frozenset({"below"}))
    two = Fact(2 - x, ">=", frozenset({"two"}))
    assert step.check({"below": below, "two": two}).rests_on == {"below", "two"}
    with pytest.raises(Broken, match="has a root"):
        step.check({"above": above, "two": two})


def test_what_is_given_must_be_defined_by_what_is_given() -> None:
    """Two givens, each of which is only defined where the other holds."""
    circular = (hypothesis("one", x - 1 / y, ">"), hypothesis("two", y - 1 / x, ">"))
    step = Step("no", 0, "<", x + y - 1 / x - 1 / y, by=(("one",), ("two",)))
    refused(proof(*circular, step, witness={"x": 2, "y": 2}), "the given 'one': divides by y")
    started = (*circular, hypothesis("y", y, ">"), hypothesis("x", x, ">"))
    assert not [fault for fault in proof(*started, step, witness={"x": 2, "y": 2}).faults() if "divides" in fault]


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        (sp.sqrt(x**2), x, "Abs is none of exp, log, sin and cos"),
        (sp.sqrt(x) * sp.sqrt(y), sp.sqrt(x * y), "has a root, power or logarithm of"),
        (sp.log(x * y), sp.log(x) + sp.log(y), "has a root, power or logarithm of"),
        (sp.log(sp.exp(x) - 1), sp.log(sp.exp(x) - 1), "has a root, power or logarithm of exp(x) - 1"),
        ((x**2) ** y, x ** (2 * y), "Abs is none of"),
        (sp.sqrt(-a), sp.sqrt(-a), "I is not a real number"),
        (sp.I * x, sp.I * x, "I is not a real number"),
        (sp.oo, sp.oo, "oo is not a real number"),
        (sp.floor(x), x, "floor is none of exp, log, sin and cos"),
        (1, sp.Add(1, sp.Float(1e-20), evaluate=True), "is not a real number that is written exactly"),
    ],
    ids=str,
)
def test_branches_and_what_is_not_real(left: sp.Expr, right: sp.Expr, why: str) -> None:
    with pytest.raises(Broken) as refusal:
        Step("no", left, "=", right).check({})
    assert why in str(refusal.value)


def test_a_squared_norm_has_real_coefficients() -> None:
    with pytest.raises(Broken, match="I is not a real number"):
        Step("no", norm2(u), "<=", 0, by=((SquaredNorm(Vector((("u", sp.I),))),),)).check({})


def test_simplify_alone_proves_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sp, "simplify", lambda expression, **_: sp.Integer(0))
    with pytest.raises(Broken, match="right - left - certificate"):
        Step("no", sp.exp(x), "=", sp.exp(x) + sp.sin(x)).check({})


# -- symbols --


def test_symbols_are_real() -> None:
    complex_one = sp.Symbol("w")
    with pytest.raises(Broken, match="the symbol w is not declared"):
        Step("no", 0, "<=", complex_one**2, by=((complex_one**2,),)).check({})
    whole = sp.Symbol("k", integer=True)
    with pytest.raises(Broken, match="the symbol k is not declared"):
        Step("no", 0, "<=", whole**2, by=((whole**2,),)).check({})


def test_one_name_is_one_symbol() -> None:
    other = sp.Symbol("x", positive=True)
    refused(proof(Step("no", 0, "<=", x**2 * other, by=((x**2, other),))), "two symbols are called 'x'")


def test_the_signs_of_symbols_are_printed_with_what_is_given() -> None:
    from theory.derivation_text import latex_lines, text_lines

    derivation = proof(Step("positive", 0, "<", a, by=((a,),)))
    assert "  a: positive" in list(text_lines(derivation, {}))
    assert r"\item $a$: positive" in list(latex_lines(derivation))


# -- names and order --


def test_two_facts_of_one_name() -> None:
    high = hypothesis("name", x - 5, ">=")
    first = Step("name", 0, "<=", x**2, by=((x**2,),))
    refused(proof(high, first, witness={"x": 5}), "two facts are called 'name'")


def test_a_fact_is_not_used_before_it_is_established() -> None:
    early = Step("early", 0, "<=", x, by=(("late",),))
    late = Step("late", 0, "<=", x, by=(("early",),))
    refused(proof(early, late), "no earlier step or given is called 'late'")
    refused(proof(Step("itself", 0, "<=", x, by=(("itself",),))), "no earlier step or given is called 'itself'")


def test_the_conclusion_is_not_among_the_givens() -> None:
    refused(proof(hypothesis("x", x, ">="), Step("so", 0, "<=", x, by=(("x",),))), "the given 'x' is the conclusion")


@pytest.mark.parametrize("sign", ["<=", "<", "!="])
def test_a_given_has_one_of_three_signs(sign: str) -> None:
    with pytest.raises(ValueError, match=f"has the sign '{sign}'"):
        hypothesis("x", x, sign)


def test_a_relation_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="has the relation '>='"):
        Step("no", 0, ">=", 1)  # type: ignore[arg-type]


# -- monotone --


def _monotone(expression: sp.Expr, variable: sp.Symbol, start: object, end: object, *given: Given) -> Iterator[AnyStep]:
    yield Step("order", 0, "<=", sp.sympify(end) - sp.sympify(start), by=((sp.sympify(end) - sp.sympify(start),),))
    yield Step("slope", 0, "<=", sp.diff(expression, variable), by=((sp.diff(expression, variable),),))
    yield Monotone("rises", expression, variable, start, sp.sympify(end), "slope", "order")


def test_a_variable_that_is_declared_positive_on_an_interval_that_is_not() -> None:
    """x^2 rises from -2 to 1, if x is positive."""
    refused(proof(*_monotone(a**2, a, -2, 1)), "a is declared positive, and nothing known says that -2, the start, is")
    assert proof(*_monotone(a**2, a, 1, 2)).faults() == []
    refused(proof(*_monotone(t**3 / 3 + t, t, -1, 1)), "t is declared nonnegative")


def test_a_pole_at_the_closed_end() -> None:
    """-1/t rises from 0 to 1."""
    facts = {"order": Fact(sp.Integer(1), ">=", frozenset()), "slope": Fact(1 / t**2, ">=", frozenset())}
    with pytest.raises(Broken, match="divides by t"):
        Monotone("no", -1 / t, t, 0, sp.Integer(1), "slope", "order").check(facts)
    assert proof(*_monotone(-1 / (t + 1), t, 0, 1)).faults() == []


@pytest.mark.parametrize("sign", ["=", ">"])
def test_the_slope_at_one_end_is_not_the_slope_on_the_interval(sign: str) -> None:
    """(x - 1)^2 - ... : the derivative 1 - x is nonnegative where x - 1 = 0, and nowhere else up to 2."""
    facts = {
        "end": Fact(x - 1, sign, frozenset({"end"})),  # type: ignore[arg-type]
        "order": Fact(sp.Integer(1), ">=", frozenset()),
        "slope": Fact(1 - x, ">=", frozenset({"end"})),
    }
    with pytest.raises(Broken, match="need not hold on the whole interval"):
        Monotone("no", x - x**2 / 2, x, 1, sp.Integer(2), "slope", "order").check(facts)


def test_the_interval_does_not_move_with_the_variable() -> None:
    facts = {"order": Fact(x, ">=", frozenset()), "slope": Fact(sp.Integer(1), ">=", frozenset())}
    with pytest.raises(Broken, match="moves with x"):
        Monotone("no", x, x, x, 2 * x, "slope", "order").check(facts)


# -- limits and quadratics --


def test_a_limit_is_from_the_side_where_the_variable_lives() -> None:
    """sqrt(a^2)/a is 1 for a > 0, and was simplified so; from below it is -1."""
    with pytest.raises(Broken, match="a is declared positive"):
        Limit("no", sp.sqrt(a**2) / a, a, 0, 1, "-").check({})
    assert Limit("yes", sp.sqrt(a**2) / a, a, 0, 1).check({}).sign == "="


def test_a_limit_of_what_is_not_defined_near_the_point() -> None:
    with pytest.raises(Broken, match="near the point"):
        Limit("no", x * sp.sqrt(x - 1), x, 0, 0).check({})
    with pytest.raises(Broken, match="not a real number"):
        Limit("no", 1 / x, x, 0, sp.oo).check({})


def test_a_limit_is_seen_in_numbers() -> None:
    class Gullible(Limit):
        def check(self, facts: dict[str, Fact]) -> Fact:
            return Fact(sp.Integer(0), "=", frozenset())

    assert proof(Limit("yes", sp.sin(x) / x, x, 0, 1)).faults() == []
    refused(proof(Gullible("no", sp.sin(x) / x, x, 0, 2)), "no: false at witness 1")
    refused(proof(Gullible("no", 1 / x, x, 0, 0)), "no: false at witness 1")


@pytest.mark.parametrize(
    ("polynomial", "why"),
    [(2 * x + y, "not a quadratic"), (y * x**2 - 1, "'lead' does not say"), (x**2 + sp.sin(x), "not a quadratic")],
    ids=str,
)
def test_a_quadratic_has_a_positive_leading_coefficient(polynomial: sp.Expr, why: str) -> None:
    facts = {"lead": Fact(y, ">=", frozenset()), "disc": Fact(sp.Integer(0), ">=", frozenset())}
    with pytest.raises(Broken, match=why):
        Quadratic("no", polynomial, x, "lead", "disc").check(facts)


# -- inductions --

SUM = S - t  # S_t >= t, where every step adds at least 1


def induction(**changes: object) -> Derivation:
    said: dict[str, object] = {"step": "next", "next": {S: S + b, t: t + 1}, "start": {S: 0, t: 0}} | changes
    return proof(
        hypothesis("at least 1", b - 1, ">="),
        Given("so far", SUM, ">=", "induction", "", Induction(**said)),  # type: ignore[arg-type]
        Step("square", 0, "<=", S**2, by=((S, S),)),
        Step("next", t + 1, "<=", S + b, by=(("so far",), ("at least 1",))),
        witness={"b": 1, "S": 3, "t": 2},
    )


def test_an_honest_induction() -> None:
    assert induction().faults() == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"next": {S: S + b, t: t + 2}}, "'next' is not the statement at the next index"),
        ({"next": {S: S + b, t: t}}, "t is the same at the next index"),
        ({"next": {}, "start": {}}, "an induction says of the same symbols"),
        ({"start": {S: 0}}, "an induction says of the same symbols"),
        ({"start": {S: 0, t: 1}}, "at the start it says -1 >= 0, which is not clear"),
        ({"start": {S: -1, t: 0}}, "S is nonnegative, and nothing known says that -1, in its place, is"),
        ({"next": {S: S - b, t: t + 1}}, "is not the statement at the next index"),
        ({"step": "so far"}, "'so far' is not the statement at the next index"),
        ({"step": "square"}, "'square' is not the statement at the next index"),
        ({"step": "never"}, "no earlier step or given is called 'never'"),
        ({"start": {S: b, t: b}, "base": "so far"}, "no earlier step or given is called 'so far'"),
        ({"base": "next"}, "no earlier step or given is called 'next'"),
    ],
    ids=str,
)
def test_an_induction_without_step_or_base(changes: dict[str, object], why: str) -> None:
    refused(induction(**changes), f"the given 'so far': {why}" if why.startswith("'") else why)


def test_the_next_value_has_the_sign_of_its_symbol() -> None:
    """3, 2, 1, 0, -1, -2: always at least -1, if the sign of S is kept."""
    falling = proof(
        Given("so far", S + 1, ">=", "induction", "", Induction("next", {S: S - 1}, {S: 3})),
        Step("next", 0, "<=", S, by=((S,),)),
        Step("use", 0, "<=", 2 * S + 2, by=((2, "so far"),)),
        witness={"S": 1},
    )
    refused(falling, "S is nonnegative, and nothing known says that S - 1, in its place, is")


def test_the_statement_at_the_next_index_is_not_given() -> None:
    """The hypothesis used at t + 1, to show what it says at t + 1."""
    wrong = proof(
        hypothesis("at least 1", b - 1, ">="),
        Given("next too", S + b - t - 1, ">=", "induction", "", Induction("next", {S: S + b, t: t + 1}, {S: 0, t: 0})),
        Step("next", t + 1, "<=", S + b, by=(("next too",),)),
        witness={"b": 1, "S": 3, "t": 2},
    )
    refused(wrong, "'next' is not the statement at the next index")
    refused(wrong, "the given 'next too' is the conclusion")


def test_an_induction_says_how_it_goes_on() -> None:
    bare = replace(induction().given[1], induction=None)
    refused(replace(induction(), given=(induction().given[0], bare)), "an induction, a lemma and no other says where")
    honest = induction()
    dressed = replace(honest.given[0], induction=honest.given[1].induction)
    refused(replace(honest, given=(dressed, honest.given[1])), "an induction, a lemma and no other says where")


def test_two_inductions_run_over_one_index() -> None:
    honest = induction()
    twice = Given("twice", S - t, ">=", "induction", "", Induction("next", {S: S + b, t: t + 2}, {S: 0, t: 0}))
    refused(replace(honest, given=(*honest.given, twice)), "'so far' and 'twice' do not change t alike")


def test_an_instance_is_of_an_induction() -> None:
    honest = induction()
    end = Given("end", y - a, ">=", "induction", "", Instance("so far", {S: y, t: a}))
    use = Step("use", a, "<=", y, by=(("end",),))
    refused(replace(honest, given=(*honest.given, end)), "S is nonnegative, and nothing known says that y")
    other = replace(end, induction=Instance("at least 1", {b: a}))
    refused(replace(honest, given=(*honest.given, other), steps=(*honest.steps, use)), "'at least 1' is no induction")
    wrong = Given("end", 2 * a - b, ">=", "induction", "", Instance("so far", {S: a, t: b}))
    refused(replace(honest, given=(*honest.given, wrong)), "it is not 'so far' with those values")


# -- lemmas --


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Derivation:
    """x^2 >= 0 and, for x >= 1, x^2 >= 1."""
    len(derivations)
    source = proof(
        hypothesis("large", x - 1, ">="),
        Step("square", 0, "<=", x**2, by=((x**2,),)),
        Step("larger", 1, "<=", x**2, by=(("large", "large"), (2, "large"))),
        witness={"x": 2},
        id="attack/source",
    )
    monkeypatch.setitem(derivations._claims, "attack/source", source)
    assert source.faults() == []
    return source


def by_lemma(expression: sp.Expr, lemma: Lemma | None, **point: int) -> Derivation:
    given = Given("lemma", expression, ">=", "lemma", "", lemma=lemma)
    return proof(given, Step("so", 0, "<=", 2 * expression, by=((2, "lemma"),)), witness=dict(point), id="attack/user")


def test_a_lemma_is_what_the_other_derivation_concludes(registered: Derivation) -> None:
    lemma = Lemma("attack/source", "larger", {x: y + 1}, {"large": "y >= 0"})
    assert by_lemma((y + 1) ** 2 - 1, lemma, y=2).faults() == []
    refused(by_lemma((y + 1) ** 2 - 2, lemma, y=2), "'larger' of attack/source says")
    refused(
        by_lemma((y + 1) ** 2 - 1, replace(lemma, granted={}), y=2), "'large', a hypothesis of attack/source, is not"
    )
    refused(by_lemma((y + 1) ** 2 - 1, replace(lemma, step="none"), y=2), "'none' is no step of attack/source")
    refused(by_lemma((y + 1) ** 2 - 1, replace(lemma, step="large"), y=2), "'large' is no step of attack/source")
    refused(by_lemma((y + 1) ** 2 - 1, replace(lemma, derivation="no/where"), y=2), "is no other derivation")
    refused(by_lemma((y + 1) ** 2 - 1, None, y=2), "an induction, a lemma and no other says where it is proved")


def test_lemmas_do_not_go_in_a_circle(registered: Derivation, monkeypatch: pytest.MonkeyPatch) -> None:
    own = by_lemma(x**2, Lemma("attack/user", "so", {}), x=1)
    refused(own, "'attack/user' is no other derivation")
    back = Given("back", 2 * x**2, ">=", "lemma", "", lemma=Lemma("attack/user", "so", {}))
    circle = replace(registered, given=(*registered.given, back))
    user = by_lemma(x**2, Lemma("attack/source", "square", {}), x=1)
    assert user.faults() == []
    monkeypatch.setitem(derivations._claims, "attack/source", circle)
    monkeypatch.setitem(derivations._claims, "attack/user", user)
    refused(user, "attack/source rests on attack/user itself")


def test_a_lemma_keeps_the_signs_of_its_symbols(registered: Derivation, monkeypatch: pytest.MonkeyPatch) -> None:
    """a + 1 >= 1 for positive a; at a = y, which may be -3, it says nothing."""
    monkeypatch.setitem(
        derivations._claims,
        "attack/source",
        proof(Step("sum", 0, "<=", a, by=((a,),)), id="attack/source"),
    )
    refused(by_lemma(y, Lemma("attack/source", "sum", {a: y}), y=1), "a is positive, and nothing known says that y")
