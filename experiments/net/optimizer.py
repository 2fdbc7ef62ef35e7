"""SAMFamily: the update rules of theory/methods around any torch optimiser, one call of `step` a whole step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from problems.errors import InputError
from problems.problem import check_count
from theory.schedules import Schedule

from .ascent import Path
from .buffers import buffers_kept
from .descent import Descent
from .family import KEYS, Number, has_spec, read_rule
from .norms import Share, gradient_norm
from .ranks import average_gradients, check_reduce, own_gradients
from .stores import Stores

Closure = Callable[[], Any]


class SAMFamily(torch.optim.Optimizer):
    """SGD, SAM, USAM, Unified SAM, GSAM, multi-step SAM or SSAM, the descent step taken by a torch optimiser.

    One step at x, with the sampled loss f_v that the closure computes:

        g = grad f_v(x);  z_1, ..., z_n: the points of the method's ascent path;  D: its direction, made of g and of
        the gradients grad f_v(z_i);  the base optimiser steps from x with D in the place of the gradient.

    The equations stand in theory/methods, one file per family; plain SGD as the base gives exactly these. Momentum,
    weight decay and preconditioning of the base act on D alone; the path sees the gradients of the loss. Norms and
    products are Euclidean, over all parameters of all groups and devices together, taken in float32 for 16-bit
    parameters, in float64 where there are float64 parameters. Where ||g||^2 is 0, or underflows to it, the perturbation
    is 0; nothing is added to a norm. rho = 0 is bitwise the base optimiser and costs one gradient (but for
    descent=lookbehind, which is then the base with a longer gradient). The return to x is exact, parameters keep their
    storage, and no step waits for a device, unless parameters lie on a CPU and a GPU at once. 16-bit parameters round
    the perturbed point: a perturbation far below their spacing is lost.

    Parameter groups hold the numbers: `rho` >= 0; `lam` in [0, 1] for unified-sam; `alpha` for gsam (finite) and
    descent=lookbehind (in (0, 1]); and `t`, the steps taken. A number may be changed at any time, per group, by hand or
    by a scheduler; the SPEC of a schedule (theory/schedules.py) stands there as text and is evaluated at t. Where the
    base has an option of such a name (Adadelta's rho, RMSprop's alpha) ours is called `sam_rho` and so on; options of
    the base that are hidden by our arguments go in with functools.partial. All of it is in `state_dict`, from which a
    run resumes with the same bits.

    After a step each gradient holds D. A parameter without a gradient at some point is not moved there; one without a
    gradient at the last point is left alone by the base.
    """

    def __init__(
        self,
        params: Any,
        base: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
        *,
        method: str = "sam",
        rho: float | str | Schedule = 0.05,
        lam: float | str | Schedule | None = None,
        alpha: float | str | Schedule | None = None,
        ascent_steps: int | None = None,
        ascent: str | None = None,
        descent: str | None = None,
        ssam: str | None = None,
        model: nn.Module | None = None,
        reduce: Literal["global", "rank"] = "global",
        **base_options: Any,
    ) -> None:
        """params, base_options: as the base takes them. method: a name, or a SPEC as the registry reads it
        (`multi-sam:steps=3,ascent=projected,descent=average`); its keys may come as arguments instead: lam, alpha,
        ascent_steps (steps), ascent, descent, ssam (ascent of ssam), and have the registry's defaults.

        model: its buffers, batch-norm running statistics among them, are written by the pass at x alone. reduce: under
        DistributedDataParallel perturb along the gradient averaged over the processes (global), or each process along
        its own (rank, m-sharpness; `model` is then the wrapped module, which the closure must call); `rank` averages
        the directions D of all processes.

        Raises InputError for an unknown method, an argument that it does not read, a number out of its range, a
        schedule that leaves it, parameters given twice or not real, and whatever the base refuses.
        """
        given = {"lam": lam, "alpha": alpha, "ascent_steps": ascent_steps, "ascent": ascent, "descent": descent}
        self.rule, numbers = read_rule(method, **given, ssam=ssam)
        check_reduce(reduce, model)
        self.model, self.reduce = model, reduce
        self._schedules: dict[tuple[str, str], Schedule] = {}
        self._stores = Stores()
        values = {name: self._number(name, {"rho": rho, **numbers}[name]) for name in self.rule.ranges}
        self.base = _made(base, params, base_options)
        hidden = self.base.defaults
        self._keys = {name: f"sam_{name}" if name in hidden else name for name in (*values, "t")}
        self._own = {self._keys[name]: value for name, value in values.items()}
        groups = self.base.param_groups
        for group in groups:
            self._check_group(group)
            group[self._keys["t"]] = 0
        # The groups are those of the base, the very dictionaries.
        super().__init__(groups, {**hidden, **self._own})
        self._share_with_base()

    # -- parameter groups --

    @property
    def t(self) -> int:
        """Steps taken: where the schedules are evaluated next."""
        return int(self.param_groups[0][self._keys["t"]])

    def in_force(self) -> list[dict[str, float]]:
        """For each group the numbers that the next step reads, by name."""
        return [{name: self._value(group, name) for name in self.rule.ranges} for group in self.param_groups]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch; the group joins at the current t. Raises InputError as the constructor does."""
        if self.__dict__.get("param_groups") is not self.base.param_groups:
            super().add_param_group(param_group)  # torch's constructor at work
            return
        group = _checked(param_group)
        for name, value in self._own.items():
            group.setdefault(name, value)
        self._check_group({**self.base.defaults, **group})
        group[self._keys["t"]] = self.t
        try:
            self.base.add_param_group(group)
        except (TypeError, ValueError) as error:
            raise InputError(f"param_group is refused by the base optimiser: {error}") from None

    def _check_group(self, group: dict[str, Any]) -> None:
        """The numbers of a group are in range, and none is there that the rule does not read."""
        for name in self.rule.ranges:
            key = self._keys[name]
            if key in group:
                group[key] = self._number(name, group[key])
        for name in ("lam", "alpha"):
            if name in group and name not in self.rule.ranges and name not in self.base.defaults:
                readers = " and ".join(KEYS[name])
                raise InputError(
                    f"{name} is read by {readers} alone; leave it out of the parameter groups of method "
                    f"{self.rule.name!r}, got {group[name]!r}"
                )
        _check_descends(group)

    def _number(self, name: str, given: Any) -> Number:
        """What stands in a group for this value: a number, or the SPEC of a schedule that is known from now on."""
        allowed = self.rule.ranges[name]
        if not isinstance(given, str | Schedule):
            return allowed.check(given, argument=name)
        if isinstance(given, str) and (name, given) in self._schedules:
            return given
        schedule = allowed.schedule(given, argument=name)
        if schedule.constant is not None:
            return schedule.constant
        self._schedules[name, schedule.name] = schedule
        return schedule.name

    def _value(self, group: dict[str, Any], name: str) -> float:
        """The number of this name at the current t."""
        key = self._keys[name]
        given = self._number(name, group[key])
        if not isinstance(given, str):
            return given
        group[key] = given
        number = float(self._schedules[name, given].at(group[self._keys["t"]]))
        return self.rule.ranges[name].check(number, argument=name)

    def _shares(self) -> list[Share]:
        """The parameters with the numbers in force, apart by group, device and type."""
        shares = []
        for group in self.param_groups:
            _check_descends(group)
            numbers = {name: self._value(group, name) for name in self.rule.ranges}
            lists: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
            for p in group["params"]:
                lists.setdefault((p.device, p.dtype), []).append(p)
            lam, alpha = numbers.get("lam", self.rule.lam), numbers.get("alpha", 0.0)
            shares += [Share(params, numbers["rho"], lam, alpha) for params in lists.values()]
        return shares

    # -- the step --

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """One whole step; returns what the closure returned at x.

        closure: zeroes the gradients, computes the loss and calls backward (as often as it likes: gradients add up), on
        the same sample at each of its calls. It is called once for SGD and for rho = 0, else 1 + n times; no backward
        pass before is needed. If it raises, the parameters are at x, and neither t nor the base's state has moved.

        Raises InputError without a closure, for a number in a group out of its range, for a closure after which no
        parameter has a gradient, and for sparse gradients.
        """
        if not callable(closure):
            raise InputError(
                "closure must be a function that zeroes the gradients, computes the loss and calls backward, "
                f"got {closure!r}"
            )
        shares = self._shares()
        still = all(share.rho == 0 for share in shares) and self.rule.descent != "lookbehind"
        one = self.rule.steps == 0 or still
        loss = self._pass(closure, shares) if one else self._climb_and_return(closure, shares)
        self.base.step()
        for group in self.param_groups:
            group[self._keys["t"]] += 1
        return loss

    def _climb_and_return(self, closure: Closure, shares: list[Share]) -> Any:
        rule = self.rule
        # A rule that ends with the last gradient leaves its average to DistributedDataParallel.
        alone, apart = self.reduce == "rank", rule.descent != "last"
        loss = self._pass(closure, shares, alone=alone)
        size = gradient_norm(shares)
        descent = Descent(rule, shares, self._stores)
        descent.at_start(size)
        with buffers_kept(self.model), Path(rule, shares, self._stores) as path:
            for i in range(rule.steps):
                path.climb(size)
                last = i + 1 == rule.steps
                self._pass(closure, shares, alone=alone and (apart or not last))
                descent.on_path()
                if not last:
                    size = gradient_norm(shares)
        descent.write()
        if alone and apart:
            average_gradients(self.model, shares)
        return loss

    def _pass(self, closure: Closure, shares: list[Share], *, alone: bool = False) -> Any:
        with torch.enable_grad():
            if alone:
                with own_gradients(self.model):
                    loss = closure()
            else:
                loss = closure()
        grads = [p.grad for share in shares for p in share.params if p.grad is not None]
        if not grads:
            raise InputError("closure must call backward on the loss, got no gradient in any parameter")
        for grad in grads:
            if grad.layout is not torch.strided:
                raise InputError(f"gradients must be dense, got a sparse one of shape {tuple(grad.shape)}")
        return loss

    # -- saving and loading --

    def state_dict(self) -> dict[str, Any]:
        """torch's state_dict, the numbers and t in its groups, and the method, the base and the parameters' shapes
        beside it. Only tensors, numbers and text: torch.load(weights_only=True) reads it."""
        return {**super().state_dict(), **self._identity()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Stand where `state_dict` was taken; the numbers in the groups are those of then, as torch has it for lr.

        Raises InputError, nothing changed, unless it is of the same method and base, over parameters of these shapes.
        """
        for key, own in {**self._identity(), "param_groups": None, "state": None}.items():
            if not isinstance(state_dict, dict) or key not in state_dict:
                raise InputError(f"state_dict must be one of SAMFamily, got one without {key!r}")
            if own is not None and state_dict[key] != own:
                raise InputError(f"state_dict must have the {key} {own!r}, got {state_dict[key]!r}")
        for group in state_dict["param_groups"]:
            _check_descends(group)
            check_count(group.get(self._keys["t"]), argument="t in state_dict", least=0)
            for name in self.rule.ranges:
                self._number(name, group.get(self._keys[name]))
        try:
            super().load_state_dict(state_dict)
        except (KeyError, ValueError) as error:
            raise InputError(f"state_dict does not fit: {error}") from None

    def _identity(self) -> dict[str, Any]:
        shapes = [[list(p.shape) for p in group["params"]] for group in self.param_groups]
        return {"method": self.rule.name, "base": type(self.base).__name__, "shapes": shapes}

    def __getstate__(self) -> dict[str, Any]:
        mine = ("rule", "model", "reduce", "base", "_keys", "_own")
        # A SPEC in a group brings its schedule back; only those without one need to go along.
        schedules = {key: schedule for key, schedule in self._schedules.items() if not has_spec(schedule)}
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in mine}, "_schedules": schedules}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "base" not in state:  # torch's load_state_dict: the state and the groups alone
            self.base.__setstate__(dict(state))
        else:
            self._stores = Stores()
        super().__setstate__(state)
        self._share_with_base()

    def _share_with_base(self) -> None:
        self.param_groups, self.state = self.base.param_groups, self.base.state


def _check_descends(group: dict[str, Any]) -> None:
    if group.get("maximize"):
        raise InputError("maximize must be False, because the path climbs what the base descends; got True")


def _made(base: Callable[..., torch.optim.Optimizer], params: Any, options: dict[str, Any]) -> torch.optim.Optimizer:
    """The base over copies of the groups."""
    name = getattr(base, "__name__", None) or repr(base)
    groups = [_checked(group) for group in _listed(params)]
    try:
        made = base(groups, **options)
    except (TypeError, ValueError) as error:
        raise InputError(f"base {name} refuses its parameters or options: {error}") from None
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(f"base must make a torch.optim.Optimizer, got {name}")
    if isinstance(made, torch.optim.LBFGS):
        raise InputError("base must take its step from one gradient, got LBFGS, which calls the closure itself")
    if isinstance(made, torch.optim.SparseAdam):
        raise InputError("base must take dense gradients, got SparseAdam, which takes sparse ones alone")
    return made


def _listed(params: Any) -> list[Any]:
    """The groups of what a torch optimiser is given."""
    if isinstance(params, Tensor | str) or not isinstance(params, Iterable):
        raise InputError(f"params must be a list of tensors or of parameter groups, got {type(params).__name__}")
    found = list(params)
    if not found:
        raise InputError("params must hold at least one parameter, got none")
    return found if isinstance(found[0], dict) else [{"params": found}]


def _checked(group: Any) -> dict[str, Any]:
    """A copy of a group whose parameters are real tensors, each there once."""
    if not isinstance(group, dict) or "params" not in group:
        raise InputError(f"a parameter group must be a dictionary with the key 'params', got {group!r}")
    params = group["params"]
    if isinstance(params, set | frozenset):
        raise InputError("params must be in a fixed order, such as a list has, got a set")
    listed = [params] if isinstance(params, Tensor) else list(params)
    seen: set[Tensor] = set()
    for entry in listed:
        p = entry[1] if isinstance(entry, tuple) else entry  # named parameters are pairs
        if not isinstance(p, Tensor):
            raise InputError(f"params must be tensors, got {p!r}")
        if not p.is_floating_point() or p.dtype.itemsize < 2:
            raise InputError(f"params must be real tensors of at least 16 bits, got {p.dtype}")
        if p in seen:
            raise InputError(f"params must give each parameter once, got one of shape {tuple(p.shape)} twice")
        seen.add(p)
    return {**group, "params": listed}
