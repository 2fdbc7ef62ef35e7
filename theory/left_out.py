"""What the catalogue leaves out: statements of the theory notes without a claim, and what the laboratory cannot do.

A statement is listed when nothing in the catalogue checks it as it stands; where another claim implies it or covers a
part, the reason names that claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from theory.dynamics import PAPER as BARTLETT
from theory.gsam import HARADA, ZHUANG
from theory.multistep import PAPER as KIM_MULTISTEP
from theory.ssam import PAPER as TAN
from theory.stability import PAPER as HARDT
from theory.unified_sam_cases import PAPER as OIKONOMOU


@dataclass(frozen=True)
class LeftOut:
    """One omission. paper: how to cite it, as in the claims' sources where they have it. statement: what is left out.
    reason: why. place: the section of the theory notes, by title, and the item in it."""

    paper: str
    statement: str
    reason: str
    place: str


WEN = "K. Wen, T. Ma and Z. Li, How Does Sharpness-Aware Minimization Minimize Sharpness?, ICLR 2023"
LONG = "P. M. Long and P. L. Bartlett, Sharpness-Aware Minimization and the Edge of Stability, JMLR 25, 2024"
AGARWALA = (
    "Agarwala and Dauphin, SAM operates far from home: eigenvalue regularization as a dynamical phenomenon, ICML 2023"
)
DAI = "Y. Dai, K. Ahn and S. Sra, The Crucial Role of Normalization in Sharpness-Aware Minimization, NeurIPS 2023"
KHANH = (
    "P. D. Khanh, H.-C. Luong, B. S. Mordukhovich and D. B. Tran, Fundamental Convergence Analysis of SAM, NeurIPS 2024"
)
ANDRIUSHCHENKO = "M. Andriushchenko and N. Flammarion, Towards Understanding Sharpness-Aware Minimization, ICML 2022"
XSAM = "XSAM, ICLR 2026, arXiv 2603.10048"
SI = "Si and Yun, Practical Sharpness-Aware Minimization Cannot Converge All the Way to Optima, NeurIPS 2023"
NAM = "Nam, Chung and Lee, on the almost sure convergence of the last iterate, 2023"
KIM_SADDLES = "Kim, Park, Choi and Lee, Stability Analysis of Sharpness-Aware Minimization, arXiv 2301.06308"
COMPAGNONI = "Monzio Compagnoni et al., An SDE for Modeling SAM: Theory and Insights, ICML 2023"
SAMPA = "Xie, Pethick and Cevher, SAMPa: Sharpness-aware Minimization Parallelized, NeurIPS 2024"
VASSO = "Li and Giannakis, Enhancing Sharpness-Aware Optimization Through Variance Suppression, NeurIPS 2023"
SPARSE = "Mi et al., Make Sharpness-Aware Minimization Stronger: A Sparsified Perturbation Approach, NeurIPS 2022"
FORET = "Foret, Kleiner, Mobahi and Neyshabur, Sharpness-Aware Minimization, ICLR 2021"
PARK = "Park et al., on hallucinated minimisers of SAM, arXiv 2509.21818"
BOLTE = "Bolte, Le and Pauwels, on eigenvalue filters, arXiv 2510.09034"
VARIANTS = "variants of SAM, known from their official code or from an open catalogue of optimisers"
LABORATORY = "the laboratory itself"

NOT_YET = "derived and checked numerically, not yet written as a claim"
NOT_READ = "the text was not read, and no statement is laid at a paper's door unread"
NO_METHOD = "the update rule is not among the methods of the laboratory"
NETWORKS = (
    "needs training runs of these networks; what the laboratory looks at on networks is listed by `ravine net verify`"
)
FLOW = "speaks of continuous time only; the laboratory runs the discrete iteration"
GENERALISATION = "a bound on the generalisation gap: the laboratory draws from finite data sets and knows no population"
LIMIT = "a limit without a rate or an almost sure event, of which a finite run says nothing"
OBSERVED = "a numerical observation without a proof"

_UNIFIED = (
    LeftOut(
        OIKONOMOU,
        "Theorems 3.2, 3.5 and 3.7 as printed, with the authors' own constants.",
        f"{NOT_READ}; the claims unified-sam/* have their shape with constants derived here",
        "How far the sources could be read, A",
    ),
    LeftOut(
        OIKONOMOU,
        "A + B mu >= mu for every expected-residual condition of a smooth, nonconstant PL function, so that the '2' in "
        "gamma = min(2, mu/(8 (B mu + A)))/L is never active, and 17/4 may stand for 8.",
        NOT_YET,
        "Example steps and the min(2, .), A.4",
    ),
    LeftOut(
        OIKONOMOU,
        "U1 with L_f in the place of L is false: components of curvature h and -h + 2 mu break it.",
        f"{NOT_YET}; the false form with L_max is unified-sam/arbitrary-sampling-lmax",
        "Findings first, 2",
    ),
    LeftOut(
        OIKONOMOU,
        "The one term of Theorem 3.7 that a review quotes is not invariant under a change of units.",
        "a statement about the dimensions of a formula, not about runs; the theorem's text was not read",
        "Findings first, 6",
    ),
    LeftOut(
        OIKONOMOU,
        "Tables 2 to 5: test accuracy on CIFAR-10 and CIFAR-100 for several rho and lambda.",
        NETWORKS,
        "Figures and tables, A.7",
    ),
    LeftOut(
        OIKONOMOU,
        "Eleven defects of the published code, such as importance sampling without its weights.",
        "statements about a program and not about a method; what missing weights do is drawn in the figure "
        "unified-sam-samplings",
        "Provable defects of the official code, K",
    ),
    LeftOut(
        ANDRIUSHCHENKO,
        "Stochastic USAM on nonconvex functions at gamma = 1/(beta sqrt T), rho = 1/(beta T^(1/4)): "
        "(4 beta (f(x_0) - f*) + 6 sigma^2/b)/sqrt T.",
        f"{NOT_YET}; the step that its proof sums is usam/one-step",
        "Stochastic USAM, C1",
    ),
    LeftOut(
        ANDRIUSHCHENKO,
        "Stochastic USAM on PL functions with decreasing steps: rate 1/t.",
        f"{NOT_YET}; the step that its proof sums is usam/one-step. The constants (3, 22) recalled of the paper, for "
        "steps of at most 1/(2 beta), are not proved",
        "Stochastic USAM, C2",
    ),
    LeftOut(
        SI,
        "SAM with a constant radius on convex PL functions: max((1 - 3 gamma mu/2)^t (f(x_0) - f*), "
        "beta^4 rho^2 gamma^2/mu) for gamma <= 1/(2 beta).",
        f"{NOT_YET}; constant-radius/strongly-convex bounds the same runs by another sum",
        "Normalised SAM with constant rho, D1",
    ),
    LeftOut(
        SI,
        "No step size does better than 1/T^2 up to logarithms on strongly convex functions (a lower bound over steps).",
        NOT_YET,
        "Normalised SAM with constant rho, D2",
    ),
    LeftOut(
        SI,
        "min_t ||grad f(x_t)||^2 <= max(4 (f(x_0) - f*)/(3 gamma T), beta^4 rho^2 gamma^2) on convex functions, a rate "
        "of T^(-2/3).",
        f"{NOT_YET}; the average is bounded in constant-radius/convex",
        "Normalised SAM with constant rho, D3b",
    ),
    LeftOut(
        SI,
        "Stochastic SAM with a constant radius, PL and nonconvex.",
        "no claim of their own: gsam/pl-last-iterate and gsam/weighted-gradient at alpha = 0 have their shape",
        "Normalised SAM with constant rho, D5 and D6",
    ),
)

_DYNAMICS = (
    LeftOut(
        BARTLETT,
        "The paper's constants for the rate towards the cycle and for the drift beyond quadratics.",
        f"{NOT_READ}; dynamics/linear-rate and dynamics/drift are derived here",
        "Quadratics: Bartlett, Long, Bousquet, A4 and A7",
    ),
    LeftOut(
        BARTLETT,
        "Beyond gamma lambda_1 = 2 the top coordinate grows at every step, in any dimension.",
        f"{NOT_YET}; on the line it is part of dynamics/one-dim",
        "Quadratics: Bartlett, Long, Bousquet, A1",
    ),
    LeftOut(
        BARTLETT,
        "The drift for functions whose third derivative is not constant, with terms in the fourth.",
        "not written out in the notes; dynamics/drift asks for a constant third derivative at the points visited",
        "Quadratics: Bartlett, Long, Bousquet, A7",
    ),
    LeftOut(
        BARTLETT,
        "Above the upper end of the window at a saddle runs stay bounded while gamma |lambda_j| < 1.",
        f"{OBSERVED}, kept as a remark of dynamics/saddle-trap",
        "Quadratics: Bartlett, Long, Bousquet, A6",
    ),
    LeftOut(
        LONG,
        "Largest Hessian eigenvalue, 2/gamma and SAM's edge along training on MNIST, CIFAR-10 and a transformer; the "
        "alignment of gradients with the leading eigenvector.",
        "not looked at on these networks, only on small ones, by `ravine net verify net/sam-edge`; on quadratics the "
        "edge itself is edge/sam and edge/sam-limit",
        "SAM-edge: Long, Bartlett, B1",
    ),
    LeftOut(
        AGARWALA,
        "The mean change of the tangent kernel under USAM flow for a Gaussian random quadratic model.",
        f"{FLOW}, and averages over a random model",
        "Agarwala, Dauphin, C1",
    ),
    LeftOut(
        AGARWALA,
        "One step from a Gaussian random quadratic model: gradient descent sharpens, USAM flattens.",
        "averages over a random model, to leading order; the laboratory has no such problem",
        "Agarwala, Dauphin, C3",
    ),
    LeftOut(
        AGARWALA,
        "Below its edge USAM may converge to a point of a manifold of minima; above it cannot from almost any start.",
        "kept as a remark of edge/usam, which speaks of convex quadratics",
        "Agarwala, Dauphin, C2",
    ),
    LeftOut(
        WEN,
        "Theorems 4.2 and 5.3: minimisers of the perturbed losses are near minimisers of lambda_1/2, of the smallest "
        "nonzero eigenvalue/2 or of the trace/(2 d).",
        "a statement about minimisers of other functions, not about runs; at a minimum the first is gsam/surrogate-gap",
        "Wen, Ma, Li, D1",
    ),
    LeftOut(
        WEN,
        "Phase I of Theorem 4.5 and Corollaries 4.6, 4.7: the time to come near the manifold, the perturbed loss "
        "there, the angle of the gradient to the top eigenspace.",
        "orders without constants, given in a copy without displayed equations; Phase II is dynamics/manifold-flow",
        "Wen, Ma, Li, D2",
    ),
    LeftOut(
        WEN,
        "Theorem 5.4: SAM with one example a step follows the flow that lowers the trace, with probability 1 - O(rho); "
        "at a finite step it lowers a mean of 1/(2 - gamma lambda_1) instead.",
        "a probabilistic statement not yet written as a claim; with a full batch it is dynamics/refined-flow",
        "Wen, Ma, Li, D2",
    ),
    LeftOut(
        WEN,
        "Figure 1's toy in four dimensions.",
        "its parameters are in an appendix that was not in the copy read",
        "Wen, Ma, Li, D2",
    ),
    LeftOut(
        DAI,
        "On l(x y) = (x y)^2/2 USAM stops at a minimum of bounded curvature, with an explicit bound, and SAM drifts on "
        "towards 0 at the rate 4 gamma rho^2/(2 - gamma y^2)^2, unless a diagonal 2-cycle captures it.",
        f"{NOT_YET}; the laboratory has no problem l(x y)",
        "Dai, Ahn, Sra: normalisation, E3",
    ),
    LeftOut(
        KIM_SADDLES,
        "A saddle attracts USAM on a quadratic exactly if 0 < gamma lambda_j (1 + rho lambda_j) < 2 for all j; the "
        "condition rho > 1/|lambda_min| alone is false for the discrete iteration.",
        "no claim of its own: edge/usam has the factors on convex quadratics, ssam/saddle that along the lowest "
        "eigenvector. The paper's theorem is known from a note by others",
        "Saddles and SDEs, F1",
    ),
    LeftOut(
        KIM_SADDLES,
        "The diffusion of SAM and SGD away from a saddle, and the gap of their variances.",
        f"{FLOW}; the constant of the note that quotes it did not agree with measurements",
        "Saddles and SDEs, F1",
    ),
    LeftOut(
        COMPAGNONI,
        "The stationary covariance of USAM on a quadratic with additive noise, in closed form.",
        "no claim: `ravine.stationary_moments` computes the same moments by a linear solve",
        "Saddles and SDEs, F2",
    ),
    LeftOut(
        COMPAGNONI,
        "The stochastic differential equation of SAM and its weak order 1 for rho of order sqrt(gamma); the flow's "
        "invariant set around a saddle.",
        f"{FLOW}; the discrete counterparts are dynamics/saddle-trap and dynamics/concave-trap",
        "Saddles and SDEs, F3",
    ),
)

_SCHEDULES = (
    LeftOut(
        HARADA,
        "Theorems 2.1 to 2.4 as printed.",
        f"{NOT_READ}; gsam/weighted-gradient has their shape",
        "Harada and Iiduka 2024, A",
    ),
    LeftOut(
        HARADA,
        "Difference of the GSAM and the gradient direction: sigma_b - c <= (E||G - grad f||^2)^(1/2) <= sigma_b + c.",
        f"{NOT_YET}; its ingredient |e| <= c is used in gsam/weighted-gradient",
        "Harada and Iiduka 2024, Theorem A1",
    ),
    LeftOut(
        HARADA,
        "Training loss, test error and worst-case sharpness of networks under growing batches and falling steps.",
        NETWORKS,
        "Harada and Iiduka 2024, Figures and tables",
    ),
    LeftOut(
        ZHUANG,
        "Theorem 5.1 and the generalisation theorem as printed.",
        f"{NOT_READ}; gsam/log-rate has the shape of the first",
        "Zhuang et al. 2022, Theorem B3",
    ),
    LeftOut(
        ZHUANG,
        "A lower gap at equal perturbed loss generalises better.",
        GENERALISATION,
        "Zhuang et al. 2022, Generalisation part",
    ),
    LeftOut(
        ZHUANG,
        "On convex quadratics in the plane GSAM's extra step never raised the exact gap either.",
        OBSERVED,
        "Zhuang et al. 2022, Theorem B2",
    ),
    LeftOut(
        KHANH,
        "Convex functions with steps and radii that change with t: liminf ||grad f(x_t)|| = 0, f(x_t) -> f*, "
        "x_t -> x*.",
        f"{LIMIT}; for constant steps and radius the inequality behind it is constant-radius/convex",
        "Khanh et al. 2024, Theorem C1",
    ),
    LeftOut(
        KHANH,
        "Nonconvex functions with sum gamma_t = infinity and sum gamma_t rho_t^2 < infinity: grad f(x_t) -> 0.",
        f"{LIMIT}; the sum behind it is gsam/weighted-gradient at alpha = 0, where steps and radii may change",
        "Khanh et al. 2024, Theorem C2",
    ),
    LeftOut(
        KHANH,
        "SAM with constant step and radius on a strongly convex function never converges: steps of at least "
        "gamma mu rho, amplitude at least gamma mu rho/2.",
        f"{NOT_YET}; it follows at once from gsam/sam-gradient-band",
        "Khanh et al. 2024, Theorem C4",
    ),
    LeftOut(
        KHANH,
        "Training losses and accuracy of networks under constant and diminishing radii.",
        NETWORKS,
        "Khanh et al. 2024, Figures",
    ),
    LeftOut(
        NAM,
        "Mini-batch SAM: summable squared gradients, convergence of f and of the last gradient, almost surely.",
        f"{LIMIT}; the sum in expectation is gsam/weighted-gradient",
        "Nam, Chung, Lee 2023, Theorem D (i), (ii)",
    ),
    LeftOut(
        NAM,
        "A maximal inequality: P(sup_t of f(x_t) - f* and the noise to come >= c) <= (f(x_0) - f* + R)/c.",
        "a probability of a whole run, which no route of evidence measures yet",
        "Nam, Chung, Lee 2023, Theorem D (iii)",
    ),
    LeftOut(
        NAM,
        "Last iterate on PL functions at the explicit rate max(t_0 (f(x_0) - f*), B)/(t + t_0).",
        f"{NOT_YET}; its recursion is gsam/pl-last-iterate, for any schedules",
        "Nam, Chung, Lee 2023, Theorem D (iv)",
    ),
    LeftOut(
        SAMPA,
        "SAMPa on convex functions, with three times SAM's floor; the Lyapunov form recalled of the paper.",
        f"{NO_METHOD}; the second form was not read",
        "Xie, Pethick, Cevher 2024, E1 and E2",
    ),
    LeftOut(
        VASSO,
        "VaSSO: error of its averaged direction, stability of the perturbation, convergence.",
        f"{NO_METHOD}; the convergence of any perturbation of length rho is that of gsam/weighted-gradient",
        "Li and Giannakis 2023, F1 to F3",
    ),
    LeftOut(
        SPARSE,
        "Masked perturbations: a floor of q c^2 for masks of density q that do not see the batch, the whole of c^2 for "
        "masks that do; micro-batches.",
        NO_METHOD,
        "SSAM, m-SAM, Foret, G1",
    ),
    LeftOut(
        FORET,
        "One ascent step misses the inner maximum by at most L rho^2, on convex functions by half of it.",
        f"{NOT_YET}; on quadratics the lost part is multistep/inner-max-share, and gsam/surrogate-gap bounds the one "
        "step from both sides",
        "SSAM, m-SAM, Foret, G2",
    ),
    LeftOut(
        FORET,
        "An explicit PAC-Bayes bound with a Gaussian perturbation.",
        f"{GENERALISATION}, and holds with a probability over data sets",
        "SSAM, m-SAM, Foret, G3",
    ),
)

_MULTISTEP = (
    LeftOut(
        KIM_MULTISTEP,
        "The paper's formulas, its modification of the descent gradient, and its tables.",
        f"{NOT_READ}; the tables need networks",
        "Multi-step ascent, A0 and Figures",
    ),
    LeftOut(
        KIM_MULTISTEP,
        "The attained share of the inner maximum rises with every further ascent step.",
        f"{OBSERVED}; that no number of steps is worse than one is multistep/never-lose",
        "Multi-step ascent, A4",
    ),
    LeftOut(
        KIM_MULTISTEP,
        "The rule with the full radius at every ascent step (power) also finds the inner maximum.",
        f"{OBSERVED}; for the projected rule it is part of multistep/budget-gap",
        "Multi-step ascent, A5",
    ),
    LeftOut(
        XSAM,
        "The radius from which the second direction climbs higher is at most rho/2.",
        f"{OBSERVED}, a conjecture; the radius itself is multistep/second-direction-threshold",
        "Multi-step ascent, A7",
    ),
    LeftOut(
        XSAM,
        "XSAM's rule, which mixes two directions by a search over angles.",
        NO_METHOD,
        "Multi-step ascent, A0",
    ),
    LeftOut(
        TAN,
        "Every theorem and figure of the paper, its bound on the stability of SSAM among them.",
        f"{NOT_READ}. No claim bounds the stability of SSAM; runs of it are drawn in the figure ssam-stability",
        "SSAM, B0 to B8",
    ),
    LeftOut(
        TAN,
        "Median numbers of steps to leave a saddle under gradient noise.",
        f"{OBSERVED}; the multipliers are ssam/saddle, and the numbers are drawn in the figure ssam-saddle",
        "SSAM, B1",
    ),
    LeftOut(
        TAN,
        "SAM's step is Lipschitz up to an additive constant: ||T(x) - T(y)|| <= c ||x - y|| + 2 gamma L rho.",
        "kept as a remark of ssam/usam-contraction; what follows from it for two data sets is ssam/stability-upper",
        "SSAM, B2",
    ),
    LeftOut(
        TAN,
        "On a quadratic a USAM step contracts by 1 - gamma mu (1 + rho mu) up to the best of its steps.",
        "no claim of its own: it is the largest of the factors in edge/usam",
        "SSAM, B2",
    ),
    LeftOut(
        HARDT,
        "Strongly convex losses with steps 1/(mu t), and the theorems as printed.",
        "recalled of the paper, not read and not derived; constant steps are stability/strongly-convex",
        "Uniform stability of SGD, C3",
    ),
    LeftOut(
        HARDT,
        "The expected generalisation gap is at most the stability.",
        f"{GENERALISATION}; the claims stability/* bound the stability itself",
        "Uniform stability of SGD, C",
    ),
    LeftOut(
        VARIANTS,
        "ASAM's perturbation does not change under diagonal rescaling; its step does.",
        NO_METHOD,
        "Variants, D1",
    ),
    LeftOut(
        VARIANTS,
        "AMP is USAM within its clipping radius and SAM outside; which well its loss prefers.",
        NO_METHOD,
        "Variants, D2",
    ),
    LeftOut(
        VARIANTS,
        "Duality of perturbing weights and inputs in linear regression, and the robust-feature model, whose statements "
        "on SAM fail with the exact inner maximum.",
        "not a statement about runs; the SAM objective of the paper was not read",
        "Variants, D3",
    ),
    LeftOut(
        VARIANTS,
        "SAM lowers pre-activations, hence the rank of features.",
        NETWORKS,
        "Variants, D4",
    ),
    LeftOut(
        VARIANTS,
        "WSAM is SAM with another radius on quadratics; LookSAM's reuse step descends; a perturbed coordinate cycles "
        "alone.",
        NO_METHOD,
        "Variants, D5",
    ),
    LeftOut(
        VARIANTS,
        "Tilted SAM under Gaussian noise on a quadratic in closed form; its smoothness is not O(t).",
        NO_METHOD,
        "Variants, D6",
    ),
    LeftOut(
        VARIANTS,
        "What the published estimators of trace, determinant and Frobenius norm estimate.",
        "statements about programs; the rules are not among the methods of the laboratory",
        "Variants, D7",
    ),
    LeftOut(
        VARIANTS,
        "ESAM's random masks, F-SAM's filtered direction, Functional-SAM on linear models.",
        NO_METHOD,
        "Variants, D8 to D10",
    ),
    LeftOut(
        PARK,
        "On the line, where f'(p - rho) > 0 beside a minimiser p, the point p - rho is a fixed point of SAM but not a "
        "stationary one, and attracts iff gamma f''(p) < 2; on cos x from rho = pi on. In the plane isolated "
        "maximisers repel.",
        f"{NOT_YET}; a point of this kind, on the tent, is met in the remark of constant-radius/nonconvex",
        "Cycles, hallucinated minimisers, filters, E2",
    ),
    LeftOut(
        BOLTE,
        "Where runs from almost every start converge, the Hessian's eigenvalues pass the method's filter: gradient "
        "descent, heavy ball, Nesterov, USAM with momentum and two of its relatives.",
        f"{NO_METHOD} but for gradient descent and USAM, whose filter on convex quadratics is edge/usam",
        "Cycles, hallucinated minimisers, filters, E3",
    ),
)

_LABORATORY = (
    LeftOut(
        LABORATORY,
        "Worst cases over a whole class of functions, by performance estimation.",
        "no such route yet: how sharp a constant is rests on tight families and on a search through instances",
        "all sections",
    ),
    LeftOut(
        LABORATORY,
        "Proofs checked step by step by computer algebra.",
        "no such route yet: derivations are written in the theory notes and in the modules, and not checked by machine",
        "all sections",
    ),
    LeftOut(
        LABORATORY,
        "Networks on accelerators: the network claims run on the CPU in float64.",
        "training, probes and ensembles take a CUDA device, but nothing was measured on one yet",
        "all sections",
    ),
    LeftOut(
        LABORATORY,
        "Exact moments along a whole run of SAM, GSAM, SSAM and multi-step SAM under random sampling.",
        "their steps are not linear in x; exact are one step from a point, all draws of a short run, and runs with a "
        "full batch; beyond these, replicates are sampled",
        "Unified SAM and Normalised SAM with constant rho",
    ),
    LeftOut(
        LABORATORY,
        "Exact moments for functions other than sums of quadratics, and for batches that grow.",
        "the recursion needs an update that is linear in x and drawn from one distribution",
        "Unified SAM; Harada and Iiduka 2024",
    ),
    LeftOut(
        LABORATORY,
        "Exact expectations over samplings with very many values of v, such as tau-nice sampling of large tau and n.",
        "enumeration ends at 20,000 values for one step and at 100,000 for moments of USAM; beyond, replicates are "
        "sampled",
        "Unified SAM, A.1",
    ),
    LeftOut(
        LABORATORY,
        "A search for sharper instances of claims that bring their own measurements.",
        "a search moves through instances by bounds on f, gradients and points alone; these claims rest on families",
        "all sections",
    ),
    LeftOut(
        LABORATORY,
        "Minima over t, as several theorems state them.",
        "measured as the weighted average of the proof, which is at least the minimum: a minimum over thinned records "
        "would be too large",
        "Theorem U3, A.6; Harada and Iiduka 2024, A1",
    ),
    LeftOut(
        LABORATORY,
        "Momentum, weight decay, adaptive steps, parameter groups.",
        "no method has them; no claim speaks of them",
        "Variants, D0",
    ),
)

LEFT_OUT: tuple[LeftOut, ...] = (*_UNIFIED, *_DYNAMICS, *_SCHEDULES, *_MULTISTEP, *_LABORATORY)
"""Page by page of the theory notes, and the laboratory's own limits last."""
