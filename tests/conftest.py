"""What holds for every test: nothing is timed, so Hypothesis may take as long as a busy machine needs."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
