"""The room's error: a job that we refuse before anything moved."""

from __future__ import annotations


class JobRefused(Exception):
    """Nothing moved. `code` is the short machine word of the result, the text says which piece, place or limit.

    Codes: "illegal", "no-piece", "no-slot", "clearance", "unreachable", "limits", "no-arm", "malformed".
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ArmInTheWay(JobRefused):
    """Another arm, `arm`, stands where this one would have to pass. Code "clearance"."""

    def __init__(self, arm: str, reason: str) -> None:
        super().__init__("clearance", reason)
        self.arm = arm
