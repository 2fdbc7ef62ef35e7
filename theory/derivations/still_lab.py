"""A laboratory in which nothing moves: for reading what a trial states, without measuring anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from theory.setting import Setting
from theory.trial import Values


class Still:
    """Every iterate is x_0, every step leaves its points, and all values are 0."""

    replicates = range(1)

    def iterates(self, setting: Setting, times: Sequence[int] | NDArray[np.int64]) -> Values:
        return np.tile(setting.x0, (1, len(times), 1))

    def step(self, setting: Setting, points: Values, *, t: int = 0) -> Values:
        return points

    def values(self, setting: Setting, points: Values) -> tuple[Values, Values]:
        return np.zeros(len(points)), np.zeros(len(points))
