"""The nucleus's errors, named by whose fault they are. One root: `NucleusError`."""

from __future__ import annotations


class NucleusError(Exception):
    """Root of every error that the nucleus raises."""
