"""Steps that several derivations on nonconvex functions share: the weighted average of ||grad f||^2 over a run.

From w D_next <= (1 + a) w D - gamma c w r + gamma e w, with weights w_t = (1 + a)^-(t+1), the sums

    V_t = sum_{s<t} w_s,    R_t = sum_{s<t} w_s E||grad f(x_s)||^2

satisfy, by induction over t,

    gamma c R_t + (1 + a) w_t D_t <= D_0 + gamma e V_t,    (1 + a) w_t t <= V_t,

and the weighted average R_T/V_T is at most ((1 + a)^T D_0/(gamma T) + e)/c.
"""

from __future__ import annotations

from typing import TypeAlias

import sympy as sp

from theory.derivation import Given, Induction, Step

Expr: TypeAlias = sp.Expr

R, V, t, D0 = sp.symbols("R_t V_t t D0", nonnegative=True)
weight = sp.Symbol("w_t", positive=True)
growth_T = sp.Symbol("(1+a)^T", positive=True)
"""(1 + a)^T, T = t + 1."""


def hypotheses(D: Expr, D_next: Expr, r: Expr, gamma: Expr, a: Expr, c: Expr, e: Expr) -> tuple[Given, ...]:
    """The statement at t, which is what induction may use, and the meaning of the weights. r: ||grad f(x_t)||^2."""
    return (
        Given(
            "sums up to t",
            D0 + gamma * e * V - gamma * c * R - (1 + a) * weight * D,
            ">=",
            "induction",
            "induction: at t = 0 it is the step 'start', at t + 1 the step 'sums up to t + 1'",
            Induction(
                "sums up to t + 1",
                next={D: D_next, V: V + weight, R: R + weight * r, weight: weight / (1 + a)},
                start={D: D0, V: 0, R: 0, weight: 1 / (1 + a)},
            ),
        ),
        Given(
            "weights up to t",
            V - (1 + a) * weight * t,
            ">=",
            "induction",
            "induction: at t = 0 both are 0, at t + 1 it is the step 'weights up to t + 1'",
            Induction(
                "weights up to t + 1",
                next={V: V + weight, t: t + 1, weight: weight / (1 + a)},
                start={V: 0, t: 0, weight: 1 / (1 + a)},
            ),
        ),
        Given("last weight", weight * growth_T - 1, "=", "definition", "w_t = (1 + a)^-(t+1), T = t + 1"),
    )


def steps(
    D: Expr, D_next: Expr, r: Expr, gamma: Expr, a: Expr, c: Expr, e: Expr, *, one_step: str, a_sign: str
) -> tuple[Step, ...]:
    """From the one-step inequality, called `one_step`, to the weighted average. a_sign: the fact a >= 0."""
    return (
        Step("growing", 0, "<", 1 + a, by=((1,), (a_sign,))),
        Step(
            "start",
            (gamma * c * R + (1 + a) * weight * D).subs({R: 0, weight: 1 / (1 + a), D: D0}),
            "=",
            (D0 + gamma * e * V).subs(V, 0),
            why="w_-1 = 1 and empty sums",
        ),
        Step(
            "sums up to t + 1",
            gamma * c * (R + weight * r) + weight * D_next,
            "<=",
            D0 + gamma * e * (V + weight),
            by=(("sums up to t",), (weight, one_step)),
            why="(1 + a) w_{t+1} = w_t",
        ),
        Step(
            "weights up to t + 1",
            weight * (t + 1),
            "<=",
            V + weight,
            by=(("weights up to t",), (weight * t, a_sign)),
        ),
        Step(
            "weighted average",
            gamma * c * (t + 1) * (R + weight * r),
            "<=",
            (V + weight) * (growth_T * D0 + gamma * e * (t + 1)),
            by=(
                (t + 1, "sums up to t + 1"),
                (t + 1, weight, D_next),
                (growth_T * D0, "weights up to t + 1"),
                ((t + 1) * D0, "last weight"),
            ),
            why="divide by gamma c (t + 1)(V_t + w_t), which is positive; the minimum is at most the average",
        ),
    )
