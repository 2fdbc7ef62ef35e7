"""What several Unified SAM claims share: the paper, real data, and the controls of linear rates."""

from __future__ import annotations

from theory.claim import Claim, Control, Instance
from theory.families import given

PAPER = "D. Oikonomou and N. Loizou, Sharpness-Aware Minimization: General Analysis and Improved Rates, ICLR 2025"
DERIVED_BOUND = "step ranges read in the authors' code; the bound re-derived here, its constants are ours"

BREAST = "logistic:data=breast_cancer,reg=2,scale=columns"
DIABETES = "ridge:data=diabetes,reg=0.1,scale=rows"
DIGITS = "logistic:data=digits,reg=0.01,scale=rows,positive=0"
"""Real data with L_max/mu of 54, 11 and 26."""


def one_parabola(claim: Claim) -> Instance:
    return given(claim, "quadratic:d=1,mu=1,L=1", "full", lam="0", gamma=0.5, steps=40, origin="tight")


def _limit_cycle(claim: Claim) -> Instance:
    return given(claim, "quadratic:d=3,mu=0.5,L=1,seed=1", "full", lam="1", gamma=0.2, rho=0.1, steps=400)


RATE_DOUBLED = Control("rate doubled: (1 - 2 gamma mu)^t", one_parabola, "trajectory", scale={"rate": 2.0})
NO_NEIGHBOURHOOD = Control(
    "no neighbourhood at lam = 1: N = 0", _limit_cycle, "trajectory", scale={"neighbourhood": 0.0}
)
