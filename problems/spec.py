"""SPEC strings: `name:key=value,key=value`, one grammar for problems, methods, samplings and schedules.

A catalogue maps names to builders. A builder's keyword parameters are its keys, their annotations say how
the text is read, their defaults make keys optional. A value that itself contains `:` swallows the rest of
the text, so that a nested SPEC (`tau-nice:tau=doubling:start=4,every=400`) needs no quoting.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, TypeVar

from .errors import InputError, nearest

T = TypeVar("T")


def parse(text: str, *, argument: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,...` into the name and its keys.

    Raises InputError, naming `argument`, for an empty name, a pair without `=`, and a repeated key.
    """
    name, colon, rest = text.strip().partition(":")
    if not name:
        raise InputError(f"{argument} {text!r} has no name; write NAME or NAME:key=value,key=value")
    pairs: dict[str, str] = {}
    if colon and not rest:
        raise InputError(f"{argument} {text!r} ends after the colon; write NAME or NAME:key=value,key=value")
    while rest:
        key, equals, rest = rest.partition("=")
        key = key.strip()
        if not equals or not key or "," in key:
            raise InputError(f"{argument} {text!r} cannot be read at {key!r}; write key=value,key=value")
        head = rest.partition(",")[0]
        entry, rest = (rest, "") if ":" in head else (head, rest.partition(",")[2])
        if key in pairs:
            raise InputError(f"{argument} {text!r} gives the key {key!r} twice; give each key once")
        if not entry.strip():
            raise InputError(f"{argument} {text!r} gives no value for the key {key!r}; write {key}=VALUE")
        pairs[key] = entry.strip()
    return name, pairs


def read_float(text: str, *, argument: str) -> float:
    """A finite number; raises InputError naming `argument` otherwise."""
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{argument} must be a number, got {text!r}") from None
    if not math.isfinite(number):
        raise InputError(f"{argument} must be a finite number, got {text!r}")
    return number


def read_int(text: str, *, argument: str) -> int:
    """A whole number (1e5 is one); raises InputError naming `argument` otherwise."""
    try:
        return int(text)
    except ValueError:
        pass
    number = read_float(text, argument=argument)
    if number != int(number):
        raise InputError(f"{argument} must be a whole number, got {text!r}")
    return int(number)


def read_bool(text: str, *, argument: str) -> bool:
    """`true` or `false`; raises InputError naming `argument` otherwise."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise InputError(f"{argument} must be true or false, got {text!r}")


def spelled(number: float) -> str:
    """`number` as a SPEC writes it: short, and exactly the same number when read back."""
    short = f"{float(number):g}"
    return short if float(short) == number else repr(float(number))


def _convert(annotation: Any, text: str, argument: str) -> Any:
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        inner = [option for option in typing.get_args(annotation) if option is not type(None)]
        return _convert(inner[0], text, argument)
    if origin is Literal:
        allowed = typing.get_args(annotation)
        if text not in allowed:
            raise InputError(f"{argument} must be one of {', '.join(allowed)}, got {text!r}")
        return text
    if annotation is float:
        return read_float(text, argument=argument)
    if annotation is int:
        return read_int(text, argument=argument)
    if annotation is bool:
        return read_bool(text, argument=argument)
    return text


class Catalogue(Generic[T]):
    """Named builders of one kind of thing, found by importing every module of a package once.

    kind: the word used in messages ("problem", "method", "sampling", "schedule").
    packages: where the registering modules lie; they are imported at the first look-up.
    """

    def __init__(self, kind: str, packages: tuple[str, ...]) -> None:
        self.kind = kind
        self._packages = packages
        self._builders: dict[str, Callable[..., T]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator: make the builder available as `name`."""

        def add(builder: Callable[..., T]) -> Callable[..., T]:
            if self._builders.get(name, builder) is not builder and not self._same(name, builder):
                raise ValueError(f"two builders are called {self.kind} {name!r}")
            self._builders[name] = builder
            return builder

        return add

    def _same(self, name: str, builder: Callable[..., T]) -> bool:
        return inspect.getsourcefile(self._builders[name]) == inspect.getsourcefile(builder)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for name in self._packages:
            package = importlib.import_module(name)
            for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                importlib.import_module(f"{name}.{module.name}")

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._builders))

    def builder(self, name: str) -> Callable[..., T]:
        """The builder called `name`; InputError with the nearest name otherwise."""
        self._load()
        if name not in self._builders:
            raise InputError(f"unknown {self.kind} {name!r}; {nearest(name, self._builders)}")
        return self._builders[name]

    def keys(self, name: str) -> dict[str, inspect.Parameter]:
        """The keys of `name`'s SPEC, with their defaults."""
        return dict(inspect.signature(self.builder(name), eval_str=True).parameters)

    def build(self, text: str, **context: Any) -> T:
        """Build the thing that `text` describes.

        context: values that the builder needs but the text does not give (a sampling needs `problem`); only
        those that the builder names are passed. Raises InputError for an unknown name or key, a missing key
        or a value that cannot be read.
        """
        name, pairs = parse(text, argument=self.kind)
        builder = self.builder(name)
        parameters = inspect.signature(builder, eval_str=True).parameters
        known = [key for key in parameters if key not in context]
        arguments: dict[str, Any] = {key: entry for key, entry in context.items() if key in parameters}
        for key, entry in pairs.items():
            if key not in known:
                hint = nearest(key, known) if known else "it takes none"
                raise InputError(f"unknown key {key!r} in {self.kind} {text!r}; {hint}")
            arguments[key] = _convert(parameters[key].annotation, entry, f"{key} of {self.kind} {name!r}")
        for key in known:
            if key not in arguments and parameters[key].default is inspect.Parameter.empty:
                raise InputError(f"{self.kind} {text!r} lacks the key {key!r}; write {name}:{key}=VALUE")
        return builder(**arguments)
