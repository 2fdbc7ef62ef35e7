"""Memory for compiled loops to write to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Record = NDArray[np.float64]

MARGIN = 64
"""Numbers left free on both sides of an array that compiled loops write to: 512 bytes, more than a vectorised loop
takes at a time. Nearer neighbours make it doubt that they are apart, and its scalar path has other roundings."""


def aligned(size: int) -> Record:
    """Zeros that start on a cache line, worth up to 10 % of a step, and lie away from everything else."""
    room = np.zeros(size + 2 * MARGIN + 8)
    skip = MARGIN + (-room.ctypes.data // 8) % 8
    return room[skip : skip + size]


def apart(x: Record) -> Record:
    """A copy of x in memory away from everything else."""
    room = aligned(x.size).reshape(x.shape)
    room[:] = x
    return room
