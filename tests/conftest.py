"""Hypothesis runs derandomised by default, so that a failure returns; RAVINE_HYPOTHESIS=explore looks further."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("RAVINE_HYPOTHESIS", "fixed"))
