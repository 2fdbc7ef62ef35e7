"""SAM with several ascent steps before each descent step.

The ascent path starts at z_0 = x and takes n = `steps` normalised steps, z' = z_j + s g_j/||g_j||, g_j = grad f_v(z_j),
with the same sample v throughout:

    budget     z_{j+1} = z_j + (rho/n) g_j/||g_j||             the path has length rho
    fixed      z_{j+1} = z_j + rho g_j/||g_j||                 the path has length n rho
    projected  z_{j+1} = P(z_j + rho g_j/||g_j||)              P projects onto the ball of radius rho around x
    power      z_{j+1} = x + rho g_j/||g_j||                   the projected rule with an infinite step

and the descent step is x+ = x - gamma D with

    last           D = g_n
    average        D = (g_1 + ... + g_n)/n
    average-start  D = (g_0 + ... + g_n)/(n + 1)
    lookbehind     D = alpha (g_1 + ... + g_n), on the fixed path: the fast weights phi_i = phi_{i-1} - gamma g_i start
                   at x and the slow ones end at x + alpha (phi_n - x)

n = 1 with `last` is SAM under every ascent rule, bitwise. rho = 0 is bitwise SGD but for lookbehind, which then is SGD
with the step size alpha n gamma (to rounding).
Sources: budget, the official training script of XSAM (read); fixed and lookbehind, the rules of Lookbehind-SAM (read in
a catalogue of optimisers); average, attributed to Kim et al. 2023 (inferred, not read); projected, power and
average-start, stated here for comparison. Which ascent rule Kim et al. use was not read.

Degenerate cases: where g_j = 0 (or ||g_j||^2 underflows to 0) no ascent step is taken, z_{j+1} = z_j under every rule,
so the path stays there and its gradients, all 0, count in the averages. A first step of the projected rule ends on the
sphere and is not projected. The ascent is always normalised: lam is 1 and not read.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

from problems.errors import InputError
from problems.kernel import gradient, plane_norm2, plane_sound, reduced, scratch, slope, span, step, stride
from problems.problem import check_count, plain
from problems.spec import spelled
from theory.schedules import constant

from .method import Method, methods
from .sgd import SGD
from .unified_sam import UnifiedSAM, perturbation_scale

Ascent = Literal["budget", "fixed", "projected", "power"]
Descent = Literal["last", "average", "average-start", "lookbehind"]


class MultiStepSAM(NamedTuple):
    """steps: n >= 1. ascent, descent: places in the lists above, from 0. alpha: in (0, 1], read by lookbehind alone."""

    steps: int
    ascent: int
    descent: int
    alpha: float


@scratch.of(MultiStepSAM)
def _multi_step_scratch(method: Any) -> int:
    # The point on the path and the mean of the gradients. `last` has room for the mean too: compiled loops compare the
    # addresses of their vectors, and one without room of its own would send them down another path, with other bits.
    return 2


@step.of(MultiStepSAM)
def _multi_step_sam_step(
    method: Any,
    problem: Any,
    x: Any,
    indices: Any,
    weights: Any,
    m: int,
    gamma: float,
    rho: float,
    lam: float,
    g: Any,
    y: Any,
) -> float:
    d = x.shape[0]
    n = method.steps
    z = y[:d]
    gradient(problem, x, indices, weights, m, g)
    norm2 = 0.0
    for j in range(d):
        norm2 += g[j] * g[j]
        z[j] = x[j]
    reach = rho
    if method.ascent == 0:  # budget
        reach = rho / n
    averaged = method.descent != 0
    mean = y[stride(d) : stride(d) + d]
    taken = 0
    if method.descent == 2:  # average-start
        taken = 1
        for j in range(d):
            mean[j] = g[j]
    size2 = norm2
    for i in range(n):
        if size2 != 0.0:
            s = perturbation_scale(reach, 1.0, size2)
            if method.ascent == 3:  # power
                for j in range(d):
                    z[j] = x[j] + s * g[j]
            else:
                for j in range(d):
                    z[j] = z[j] + s * g[j]
            if method.ascent == 2 and i > 0:  # projected
                away2 = 0.0
                for j in range(d):
                    away2 += (z[j] - x[j]) * (z[j] - x[j])
                away = math.sqrt(away2)
                if away > rho:
                    shrink = rho / away
                    for j in range(d):
                        z[j] = x[j] + shrink * (z[j] - x[j])
        gradient(problem, z, indices, weights, m, g)
        size2 = 0.0
        for j in range(d):
            size2 += g[j] * g[j]
        if averaged:
            # A running mean: equal gradients (rho = 0, n = 1) leave it exactly what they are.
            taken += 1
            if taken == 1:
                for j in range(d):
                    mean[j] = g[j]
            else:
                for j in range(d):
                    mean[j] += (g[j] - mean[j]) / taken
    if not averaged:
        for j in range(d):
            x[j] -= gamma * g[j]
    else:
        if method.descent == 3:  # lookbehind: the sum, not the mean
            gamma = gamma * (method.alpha * n)
        for j in range(d):
            x[j] -= gamma * mean[j]
    return norm2


@span.of(MultiStepSAM)
def _multi_step_sam_span(
    method: Any,
    problem: Any,
    weight: float,
    r: float,
    b: float,
    k: float,
    z: float,
    p: float,
    norm2: float,
    a2: float,
    x2: float,
    gamma: float,
    rho: float,
    lam: float,
) -> tuple[float, float, float]:
    n = method.steps
    reach = rho
    if method.ascent == 0:  # budget
        reach = rho / n
    # z_j = x + u x + v a, g_j = gc x + ge a, and the running mean of the gradients mc x + me a.
    u = 0.0
    v = 0.0
    gc = r
    ge = p
    mc = 0.0
    me = 0.0
    taken = 0
    if method.descent == 2:  # average-start
        taken = 1
        mc = gc
        me = ge
    size2 = norm2
    sound = 1.0
    for i in range(n):
        if size2 != 0.0:
            s = perturbation_scale(reach, 1.0, size2)
            if method.ascent == 3:  # power
                u = s * gc
                v = s * ge
            else:
                u = u + s * gc
                v = v + s * ge
            if method.ascent == 2 and i > 0:  # projected
                away2 = plane_norm2(u, v, z, a2, x2)
                sound *= plane_sound(away2, u, v, a2, x2)
                away = math.sqrt(away2)
                if away > rho:
                    u = rho / away * u
                    v = rho / away * v
        c = 1.0 + u
        gc = r * c
        ge = weight * slope(problem, b, k, c * z + v * a2) + r * v
        size2 = plane_norm2(gc, ge, z, a2, x2)
        if i + 1 < n:
            sound *= plane_sound(size2, gc, ge, a2, x2)
        taken += 1
        if taken == 1:
            mc = gc
            me = ge
        else:
            mc += (gc - mc) / taken
            me += (ge - me) / taken
    if method.descent == 0:  # last
        mc = gc
        me = ge
    if method.descent == 3:  # lookbehind
        gamma = gamma * (method.alpha * n)
    return 1.0 - gamma * mc, -(gamma * me), sound


@reduced.of(MultiStepSAM)
def _multi_step_sam_reduced(method: Any, rho: float | None) -> Any:
    if rho == 0.0 and method.descent != 3:
        return SGD()
    plain = method.descent <= 1 or (method.descent == 3 and method.alpha == 1.0)
    return UnifiedSAM() if method.steps == 1 and plain else method


@methods.register("multi-sam")
def multi_sam(
    steps: int = 3, ascent: Ascent = "budget", descent: Descent = "last", alpha: float | None = None
) -> Method:
    """Multi-step SAM. steps: ascent steps, >= 1. ascent, descent: the rules. alpha: the slow weight of lookbehind, in
    (0, 1], 0.5 unless given."""
    n = check_count(steps, argument="steps of method 'multi-sam'")
    paths, ends = get_args(Ascent), get_args(Descent)
    for key, chosen, allowed in (("ascent", ascent, paths), ("descent", descent, ends)):
        if chosen not in allowed:
            raise InputError(f"{key} of method 'multi-sam' must be one of {', '.join(allowed)}, got {chosen!r}")
    slow = ""
    if descent == "lookbehind":
        if ascent != "fixed":
            raise InputError(
                f"ascent of method 'multi-sam' must be fixed, the path of descent=lookbehind; got {ascent!r}"
            )
        alpha = 0.5 if alpha is None else float(alpha)
        if not 0 < alpha <= 1:
            raise InputError(f"alpha of method 'multi-sam' must be in (0, 1], got {plain(alpha)!r}")
        slow = f",alpha={spelled(alpha)}"
    elif alpha is not None:
        raise InputError(
            f"alpha of method 'multi-sam' is read by descent=lookbehind alone; leave it out, got {plain(alpha)!r}"
        )
    data = MultiStepSAM(n, paths.index(ascent), ends.index(descent), 1.0 if alpha is None else alpha)
    return Method(
        f"multi-sam:steps={n},ascent={ascent},descent={descent}{slow}",
        data,
        constant(1.0),
        uses_lam=False,
        isometric=True,
    )
