"""A network from the user's own Python file, `FILE.py:FUNCTION`; naming the file is the permission to run it.

FUNCTION(shape, outputs) gets the shape of one input, without the batch, and how many numbers are wanted of each; it
returns a module. Every fault in it is one sentence that names the line.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from problems.errors import InputError

from .data import Data


def is_file(spec: str) -> bool:
    """Whether a model SPEC names a file."""
    return spec.endswith(".py") or ".py:" in spec


def file_digest(spec: str) -> str:
    """Of the bytes of the file that the SPEC names; empty where it names none."""
    return hashlib.sha256(_parts(spec)[0].read_bytes()).hexdigest() if is_file(spec) else ""


def _parts(spec: str) -> tuple[Path, str]:
    file, colon, function = spec.rpartition(":")
    if not colon or not function.isidentifier():
        raise InputError(f"model {spec!r} names no function of its file; write FILE.py:FUNCTION")
    if not os.path.isfile(file) or Path(file).suffix != ".py":
        raise InputError(f"model {spec!r} names a file that does not exist or is no .py file: {file!r}")
    return Path(file).resolve(), function


def build_from_file(spec: str, data: Data) -> nn.Module:
    """The module that the user's function makes for this data, tried on two inputs."""
    file, name = _parts(spec)
    module = _run(file, spec)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"model {spec!r} names the function {name!r}, which its file does not have")
    with _one_sentence(file, spec, f"{name}({data.shape}, {data.outputs})"):
        model = function(data.shape, data.outputs)
    if not isinstance(model, nn.Module):
        raise InputError(f"model {spec!r} must return a torch.nn.Module, got {type(model).__name__}")
    with _one_sentence(file, spec, f"two inputs of shape {data.shape}"), torch.no_grad():
        modes = {part: part.training for part in model.modules()}
        found: Any = model.eval().to(data.inputs.dtype)(data.inputs[:2].cpu())
        for part, mode in modes.items():
            part.training = mode
    wanted = (min(2, data.n), data.outputs)
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != wanted:
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(f"model {spec!r} must give outputs of shape {wanted} for {wanted[0]} inputs, got {got}")
    if not any(part.requires_grad for part in model.parameters()):
        raise InputError(f"model {spec!r} must have parameters that need a gradient, got none")
    return model


def _run(file: Path, spec: str) -> types.ModuleType:
    name = "ravine_model_" + re.sub(r"\W", "_", file.stem)
    module = types.ModuleType(name)
    module.__file__ = str(file)
    try:
        code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except OSError as error:
        raise InputError(f"model {spec!r} names a file that cannot be read ({error.strerror})") from None
    except SyntaxError as error:
        place = f" in line {error.lineno}" if error.lineno else ""
        raise InputError(f"model {spec!r} names a file that cannot be parsed{place}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"model {spec!r} names a file that cannot be parsed: {error}") from None
    # Before it runs: dataclasses look for their module there.
    sys.modules[name] = module
    with _one_sentence(file, spec, "the file itself"):
        exec(code, module.__dict__)
    return module


@contextmanager
def _one_sentence(file: Path, spec: str, what: str) -> Iterator[None]:
    try:
        yield
    except SystemExit as error:
        raise InputError(f"model {spec!r} calls for exit{_line(file, error)}, at {what}") from None
    except Exception as error:
        raise _fault(file, spec, f", at {what}", error) from error


def blame(spec: str, error: BaseException) -> InputError | None:
    """The sentence for a failure of the network in training, or for what it did there that no network may; None where
    it is none of the user's."""
    if not is_file(spec):
        return None
    file, _ = _parts(spec)
    if isinstance(error, SystemExit):
        return InputError(f"model {spec!r} calls for exit{_line(file, error)}, in training")
    # Layers of torch's own can fail far from any line of the file.
    return _fault(file, spec, ", in training", error)


def _fault(file: Path, spec: str, where: str, error: BaseException) -> InputError:
    what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    return InputError(f"model {spec!r} fails{_line(file, error)}{where} with {what}")


def _line(file: Path, error: BaseException) -> str:
    own = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(file)]
    return f" in line {own[-1]}" if own else ""
