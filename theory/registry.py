"""Registry: statements by id, found by importing every module of one package at the first look-up."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from problems.errors import InputError, nearest


class Named(Protocol):
    """What has an id."""

    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=Named)


class Registry(Mapping[str, Item]):
    """Every statement of a kind by id, in the order of the ids. kind: for messages. package: the modules of which add
    them when they are imported."""

    def __init__(self, kind: str, package: str) -> None:
        self._kind, self._package = kind, package
        self._claims: dict[str, Item] = {}
        self._loaded = False

    def add(self, claim: Item) -> Item:
        """Register a statement; two of the same id are an error."""
        if claim.id in self._claims:
            raise ValueError(f"two {self._kind}s are called {claim.id!r}")
        self._claims[claim.id] = claim
        return claim

    def _load(self) -> None:
        if not self._loaded:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._loaded = True

    def __getitem__(self, claim_id: str) -> Item:
        self._load()
        if claim_id not in self._claims:
            raise InputError(f"unknown {self._kind} {claim_id!r}; {nearest(claim_id, self._claims)}")
        return self._claims[claim_id]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._claims))

    def __len__(self) -> int:
        self._load()
        return len(self._claims)

    def __contains__(self, claim_id: object) -> bool:
        self._load()
        return claim_id in self._claims
