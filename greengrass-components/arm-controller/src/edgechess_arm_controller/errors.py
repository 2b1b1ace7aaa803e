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
