"""Plugins: a user's Python file that adds claims, problems and methods to the catalogue, run only when asked for.

A plugin is a program: it runs with all rights of the user. Nothing is loaded that the user did not name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from problems.errors import InputError

OURS = ("problems", "theory", "experiments", "ravine")

_loaded: dict[Path, str] = {}
"""The module name of each plugin of this process."""


def load_plugin(path: str | Path) -> Path:
    """Run a plugin, once in a process, and give its absolute path (what a code fingerprint wants to know).

    It becomes a module of its own, `ravine_plugin_NAME`; its folder is not put on the module path. Raises InputError,
    and leaves the catalogue as it was, when there is no such .py file, when it cannot be parsed or ends in an
    exception, when it takes a name or a kernel that exists already, and when it registers nothing.
    """
    file = _check_path(path)
    if file in _loaded:
        return file
    before = _Catalogue()
    module = _module_name(file)
    _loaded[file] = module
    try:
        _execute(file, module, str(path))
        before.check_added(str(path))
        before.sign(file)
    except BaseException:
        before.restore()
        raise
    return file


def _refusal(path: str, clause: str) -> InputError:
    return InputError(f"plugin {path!r} {clause}")


def _check_path(path: str | Path) -> Path:
    text = str(path)
    if os.path.isdir(text):
        raise _refusal(text, "is a folder; name a .py file")
    if not os.path.exists(text):
        raise _refusal(text, "does not exist; name a .py file")
    if not os.path.isfile(text) or Path(text).suffix != ".py":
        raise _refusal(text, "is not a .py file; name one")
    return Path(text).resolve()


def _module_name(file: Path) -> str:
    """`ravine_plugin_` and the file's name; with a digest of the whole path where another file has that name."""
    name = "ravine_plugin_" + re.sub(r"\W", "_", file.stem)
    if name in sys.modules or name in _loaded.values():
        name += "_" + hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
    return name


def _execute(file: Path, name: str, given: str) -> None:
    """Compile the file and run it as the module `name`, every failure being one sentence."""
    try:
        code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except OSError as error:
        raise _refusal(given, f"cannot be read ({error.strerror}); name a readable .py file") from None
    except SyntaxError as error:
        place = f" in line {error.lineno}" if error.lineno else ""
        raise _refusal(given, f"cannot be parsed{place}: {_one_line(error.msg)}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise _refusal(given, f"cannot be parsed: {_one_line(error)}") from None
    spec: ModuleSpec | None = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Before it runs: NamedTuples and dataclasses look for their module there.
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except SystemExit as error:
        raise _refusal(given, f"calls for exit{_line(file, error)}; a plugin must only register things") from error
    except Exception as error:
        what = f"{type(error).__name__}: {_one_line(error)}".rstrip(": ")
        advice = "; choose another name" if re.match(r"two (claims|builders) are called", str(error)) else ""
        raise _refusal(given, f"fails{_line(file, error)} with {what}{advice}") from error


def blame(error: BaseException) -> InputError | None:
    """The sentence for a failure that a plugin caused after it was loaded; None where no plugin had a part in it."""
    for file in _loaded:
        if place := _line(file, error):
            what = f"{type(error).__name__}: {_one_line(error)}".rstrip(": ")
            return _refusal(str(file), f"fails{place} with {what}")
        if type(error).__module__.partition(".")[0] == "numba" and (clause := _not_compiled(file, str(error))):
            return _refusal(str(file), f"has a kernel that numba cannot compile{clause}")
    return None


def _not_compiled(file: Path, report: str) -> str:
    """` in line N: why`, from numba's report: the reason stands above the place in the file."""
    reason = ""
    for line in report.splitlines():
        if place := re.search(rf'File ".*{re.escape(file.name)}", line (\d+)', line):
            return f" in line {place[1]}: {reason}"
        reason = line.strip() or reason
    return ""


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _line(file: Path, error: BaseException) -> str:
    """` in line N`: the innermost line of the file itself that led to the error."""
    own = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(file)]
    return f" in line {own[-1]}" if own else ""


class _Catalogue:
    """Everything that a plugin can add to, as it was before one ran."""

    def __init__(self) -> None:
        from problems import kernel
        from problems.problem import problems
        from theory.claim import claims
        from theory.methods.method import methods
        from theory.samplings import samplings
        from theory.schedules import schedules

        # Everything of ours is registered first, so that a name taken twice is the plugin's fault.
        catalogues = (problems, methods, samplings, schedules)
        for registry in (claims, *catalogues):
            list(registry)
        self.named: dict[str, dict[str, Any]] = {"claim": claims._claims}
        self.named.update({catalogue.kind: catalogue._builders for catalogue in catalogues})
        self.operations = kernel.Kernel.registry
        self.helpers = kernel.helpers
        kernels = [operation.implementations for operation in self.operations.values()]
        self.signed = claims.plugins
        tables: list[dict[Any, Any]] = [*self.named.values(), *kernels, self.operations, self.signed, _loaded]
        self.tables = [(table, dict(table)) for table in tables]
        self.first_helpers = list(self.helpers)

    def sign(self, file: Path) -> None:
        """Note which claims are this file's."""
        claims = self.named["claim"]
        earlier = next(first for table, first in self.tables if table is claims)
        self.signed.update({name: str(file) for name in claims if name not in earlier and name not in self.signed})

    def restore(self) -> None:
        """Take back all that was added since."""
        from theory.families import problem_of

        problem_of.cache_clear()
        modules = set(_loaded.values())
        for table, first in self.tables:
            table.clear()
            table.update(first)
        self.helpers[:] = self.first_helpers
        for name in modules - set(_loaded.values()):
            sys.modules.pop(name, None)

    def check_added(self, given: str) -> None:
        """Refuse a plugin that replaced something, gave a class of ours a kernel, or added nothing."""
        first = {id(table): entries for table, entries in self.tables}
        added = 0
        for kind, named in self.named.items():
            for name in _changed(named, first[id(named)]):
                raise _refusal(given, f"replaces the {kind} {name!r}; choose another name")
            added += len(named) - len(first[id(named)])
        for name in _changed(self.operations, first[id(self.operations)]):
            raise _refusal(given, f"replaces the kernel {name!r}; choose another name")
        for name, operation in self.operations.items():
            table = operation.implementations
            earlier = first.get(id(table), {})
            for cls in table:
                # The machine code of our classes goes to the cache that all processes share.
                if table[cls] is not earlier.get(cls) and cls.__module__.split(".")[0] in OURS:
                    raise _refusal(given, f"gives {cls.__name__} a {name} kernel; give kernels to its own classes only")
        if not added:
            raise _refusal(
                given, "registers nothing; it must add a claim, a problem, a method, a sampling or a schedule"
            )


def _changed(table: dict[Any, Any], first: dict[Any, Any]) -> Iterator[Any]:
    return (name for name, entry in first.items() if table.get(name) is not entry)
