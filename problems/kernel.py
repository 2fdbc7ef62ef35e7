"""Kernels: plain Python functions chosen by the type of their first argument.

A kernel is an operation, such as "minibatch gradient", with one implementation for each class of problem or
method data (a `typing.NamedTuple` of floats and arrays):

    @gradient.of(Ridge)
    def _gradient(problem, x, indices, weights, m, out): ...

The functions run as they stand in Python. The engine compiles them; nothing here knows how. They may
call other kernels and functions marked `@helper`, and must not use any other global.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Kernel:
    """An operation with one implementation per data class; calling it picks by `type(first argument)`."""

    registry: ClassVar[dict[str, Kernel]] = {}

    def __init__(self, name: str, *, default: Callable[..., Any] | None = None) -> None:
        self.__name__ = name
        self.default = default
        self.implementations: dict[type, Callable[..., Any]] = {}
        Kernel.registry[name] = self

    def of(self, cls: type) -> Callable[[Function], Function]:
        """Register the decorated plain function as this kernel's implementation for `cls`."""

        def register(function: Function) -> Function:
            self.implementations[cls] = function
            return function

        return register

    def find(self, cls: type) -> Callable[..., Any]:
        """The implementation for `cls`, else the default; LookupError when there is neither."""
        found = self.implementations.get(cls, self.default)
        if found is None:
            raise LookupError(f"{cls.__name__} has no {self.__name__} kernel: register one with @{self.__name__}.of")
        return found

    def __call__(self, data: Any, *arguments: Any) -> Any:
        return self.find(type(data))(data, *arguments)


helpers: list[Callable[..., Any]] = []


def helper(function: Function) -> Function:
    """Mark a plain function as callable from kernels, so that the engine compiles it too."""
    helpers.append(function)
    return function


ordered_helpers: list[Callable[..., Any]] = []


def ordered(function: Function) -> Function:
    """Mark a helper whose sums must be taken in the order in which they are written."""
    ordered_helpers.append(function)
    return function


def _keep_nothing(problem: Any, x: Any) -> None:
    """Most problems have rounding noise enough to need no help."""


value = Kernel("value")
"""value(problem, x, indices, weights, m) -> (1/n) sum_{k<m} weights[k] f_{indices[k]}(x)."""

gradient = Kernel("gradient")
"""gradient(problem, x, indices, weights, m, out): out = (1/n) sum_{k<m} weights[k] grad f_{indices[k]}(x);
m = 0 gives zero."""

gap = Kernel("gap")
"""gap(problem, x) -> f(x) - f*, a sum of nonnegative terms wherever the problem allows (no cancellation)."""

keep = Kernel("keep", default=_keep_nothing)
"""keep(problem, x): called after each step; holds coordinates that must not underflow to zero."""

step = Kernel("step")
"""step(method, problem, x, indices, weights, m, gamma, rho, lam, g, y) -> ||g||^2: one update of x in place.
g and y are scratch vectors of length d; g holds the first gradient on return or whatever the method left. A method
that registers `scratch` finds more vectors in y, which is then no point itself: the k-th of them is
y[k * stride(d) : k * stride(d) + d]."""


def _one_vector(method: Any) -> int:
    """Most methods need g and y alone."""
    return 1


scratch = Kernel("scratch", default=_one_vector)
"""scratch(method) -> how many vectors of length d the method's `step` needs in y; asked from Python, once a run. It
goes by the data class, as `step` does, so that no step can be run with less room than it writes to."""


# -- what the fast tier asks for; a class without these kernels runs on the textbook tier --


class Linear(NamedTuple):
    """A generalised linear model: f_i(x) = loss_i(a_i.x) + (reg/2) ||x||^2 with a_i the rows of A (n, d).

    b, k: two numbers of each row that its loss depends on, shape (n,). centre: what `gap_of_dots` measures x from, the
    minimiser or the origin, shape (d,).
    """

    A: Any
    b: Any
    k: Any
    reg: float
    centre: Any


def _not_linear(problem: Any) -> None:
    return None


linear = Kernel("linear", default=_not_linear)
"""linear(problem) -> Linear, or None for other problems; asked from Python, once a run."""

slope = Kernel("slope")
"""slope(problem, b, k, z) -> loss'(z) of the row with these two numbers: straight-line code on scalars."""

span = Kernel("span")
"""span(method, problem, weight, r, b, k, z, p, norm2, a2, x2, gamma, rho, lam) -> (c, e, sound): one update of a linear
model on one row a, where every point and gradient lies in the span of x and a: x+ = c x + e a.

weight: v_i/n; r = weight * reg; z = a.x; p = weight * slope(z), so that g = p a + r x; norm2 = ||g||^2; a2 = ||a||^2;
x2 = ||x||^2. sound: 1.0, or 0.0 where rounding could spoil the result; the step is then made by `step`. Straight-line
code where it can be: it runs on 8 replicates at once."""

ascent = Kernel("ascent")
"""ascent(method, rho, lam, norm2) -> s, for methods whose rule is x+ = x - gamma grad f_v(x + s g), g = grad f_v(x)."""


def _as_it_is(method: Any, rho: float | None) -> Any:
    return method


reduced = Kernel("reduced", default=_as_it_is)
"""reduced(method, rho) -> the data of a simpler method that makes the same iterates bit for bit: SGD where rho is 0,
SAM where GSAM's alpha is. rho: the constant radius, None where it varies. Asked from Python, so that the fast tier need
not repeat the rounding of one rule inside another."""


@helper
def plane_norm2(c: float, e: float, z: float, a2: float, x2: float) -> float:
    """||c x + e a||^2 from z = a.x, a2 = ||a||^2 and x2 = ||x||^2."""
    return c * c * x2 + 2.0 * c * e * z + e * e * a2


@helper
def plane_sound(norm2: float, c: float, e: float, a2: float, x2: float) -> float:
    """1.0 where `plane_norm2` lost less than 6 bits to cancellation and neither under- nor overflows, else 0.0."""
    if c == 0.0:
        return 1.0 if norm2 < 1e290 else 0.0
    if norm2 < 1e290 and norm2 > 1e-290 and 64.0 * norm2 > c * c * x2 + e * e * a2:
        return 1.0
    return 0.0


@helper
def stride(d: int) -> int:
    """From one vector in y to the next: d rounded up to whole cache lines."""
    return (d + 7) // 8 * 8
