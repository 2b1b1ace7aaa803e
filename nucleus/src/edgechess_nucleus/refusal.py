"""How an operation is refused: the modelled errors of the IPC.

Source: reference "greengrass-ipc" section 4; the kinds are shapes that the stock client knows.
"""

from __future__ import annotations

from typing import Literal

from edgechess_nucleus.errors import NucleusError

Kind = Literal[
    "UnauthorizedError",
    "InvalidArgumentsError",
    "ServiceError",
    "ResourceNotFoundError",
    "ConflictError",
    "FailedUpdateConditionCheckError",
]


class Refused(NucleusError):
    """What the client is told instead of a response. `members` stand beside the message, as the shape has them."""

    def __init__(self, kind: Kind, message: str, **members: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.members = members


def not_found(message: str, resource_type: str, resource_name: str) -> Refused:
    return Refused("ResourceNotFoundError", message, resourceType=resource_type, resourceName=resource_name)
