"""Vectors of a proof as formal linear combinations; their inner products as symbols, with ||v||^2 >= 0 for every v.

A proof in a Hilbert space (R^d, or random vectors with <u, v> = E u'v) uses of its vectors only that the inner product
is bilinear and symmetric and that a squared norm is nonnegative. That is all there is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

Expr: TypeAlias = sp.Expr
Number: TypeAlias = sp.Expr | int


@dataclass(frozen=True)
class Vector:
    """sum of coefficient * named vector; coefficients are scalars, that is expressions or integers."""

    parts: tuple[tuple[str, Expr], ...]

    @staticmethod
    def _of(parts: Mapping[str, Expr]) -> Vector:
        return Vector(tuple((name, coefficient) for name, coefficient in sorted(parts.items()) if coefficient != 0))

    def __add__(self, other: Vector) -> Vector:
        total = dict(self.parts)
        for name, coefficient in other.parts:
            total[name] = total.get(name, sp.Integer(0)) + coefficient
        return Vector._of(total)

    def __rmul__(self, scalar: Number) -> Vector:
        return Vector._of({name: sp.sympify(scalar) * coefficient for name, coefficient in self.parts})

    __mul__ = __rmul__

    def __neg__(self) -> Vector:
        return -1 * self

    def __sub__(self, other: Vector) -> Vector:
        return self + (-other)


def vectors(names: str) -> tuple[Vector, ...]:
    """Independent vectors, one for each name; a name has none of the signs of which inner products are written."""
    if set(names) & set("<>|,"):
        raise ValueError(f"vectors got the names {names!r}; a name without <, >, | and comma is allowed")
    return tuple(Vector(((name, sp.Integer(1)),)) for name in names.split())


def gram_symbol(a: str, b: str) -> sp.Symbol:
    """The symbol of the inner product of two named vectors; that of a squared norm is nonnegative."""
    first, second = sorted((a, b))
    return sp.Symbol(f"<{first},{second}>", real=True) if a != b else sp.Symbol(f"|{a}|^2", nonnegative=True)


def is_inner_product(symbol: sp.Symbol) -> bool:
    """Whether the symbol is that of an inner product or of a squared norm."""
    return bool(re.fullmatch(r"<.+,.+>|\|.+\|\^2", symbol.name))


def names_of(symbol: sp.Symbol) -> tuple[str, str]:
    """The names of the two vectors of an inner product; the same twice for a squared norm."""
    first, _, second = symbol.name.strip("<>").partition(",")
    name = symbol.name.removeprefix("|").removesuffix("|^2")
    return (first, second) if second else (name, name)


def dot(u: Vector, v: Vector) -> Expr:
    """<u, v>, expanded in the symbols of the named vectors."""
    return sp.expand(sum((a * b * gram_symbol(p, q) for p, a in u.parts for q, b in v.parts), sp.Integer(0)))


@dataclass(frozen=True)
class SquaredNorm:
    """||v||^2 as a factor of a certificate: nonnegative whatever the coefficients are."""

    vector: Vector

    @property
    def expression(self) -> Expr:
        return dot(self.vector, self.vector)


def norm2(v: Vector) -> Expr:
    """||v||^2 as an expression."""
    return dot(v, v)


def square(v: Vector) -> SquaredNorm:
    """||v||^2 as a nonnegative factor."""
    return SquaredNorm(v)
