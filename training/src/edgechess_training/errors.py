"""What can go wrong with a dataset, a run or an evaluation, in one line that names the cure."""

from __future__ import annotations


class TrainingError(Exception):
    """Root of this room's errors. The text is for a user."""
