"""What a cell's result holds, by name, in the order of the table."""

from __future__ import annotations

from typing import Literal

Kind = Literal["number", "whole", "text", "truth"]

MEASURED: dict[str, Kind] = {
    "replicates": "whole",
    "status": "text",
    "reason": "text",
    "gap_start": "number",
    "gap_end": "number",
    "gap_end_error": "number",
    "gap_largest": "number",
    "diverged": "whole",
    "first_divergence": "whole",
    "contracted": "truth",
    "factor": "number",
}
"""Of every cell that ran, after its place on the axes."""

COMPARED: dict[str, Kind] = {
    "admissible": "truth",
    "failed_hypothesis": "text",
    "measured": "number",
    "measured_error": "number",
    "bound": "number",
    "ratio": "number",
}
"""Further columns where a claim is named, after its id."""

TAKEN = ("cell", "steps", "claim", "gamma_times_L", "rho_times_L", *MEASURED, *COMPARED)
"""Names of columns that are not axes, which no axis may have."""
