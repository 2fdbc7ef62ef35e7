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
from typing import Any, ClassVar, TypeVar

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


@helper
def stride(d: int) -> int:
    """From one vector in y to the next: d rounded up to whole cache lines."""
    return (d + 7) // 8 * 8
