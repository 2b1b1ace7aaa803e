"""GetSecretValue."""

from __future__ import annotations

from typing import Any

import msgspec

from edgechess_nucleus.authority import Authority
from edgechess_nucleus.authorization import SECRETS
from edgechess_nucleus.host import Host
from edgechess_nucleus.ipc_call import Call, Operation, Request
from edgechess_nucleus.refusal import Refused, not_found


class GetSecretValue(Request, frozen=True):
    secret_id: str
    version_id: str | None = None
    version_stage: str | None = None
    refresh: bool | None = None


class SecretOperations:
    """`refresh` changes nothing: the file was read once."""

    def __init__(self, host: Host, authority: Authority) -> None:
        self._host = host
        self._authority = authority

    def rows(self) -> tuple[Operation, ...]:
        return (Operation("GetSecretValue", GetSecretValue, self._get),)

    def _get(self, call: Call, request: GetSecretValue) -> bytes:
        if request.version_id is not None and request.version_stage is not None:
            raise Refused("InvalidArgumentsError", "Either versionId or versionStage may be given, not both")
        secret = self._host.secrets.find(request.secret_id, request.version_id, request.version_stage)
        # asked first: who may not read a secret does not learn whether it exists
        self._authority.require(
            call.component, SECRETS, "GetSecretValue", request.secret_id if secret is None else secret.arn
        )
        if secret is None:
            raise not_found("Secret not found", "secret", request.secret_id)
        value: dict[str, Any] = {"secretBinary": secret.data} if secret.text is None else {"secretString": secret.text}
        return msgspec.json.encode(
            {
                "secretId": secret.arn,
                "versionId": secret.version_id,
                "versionStage": list(secret.stages),
                "secretValue": value,
            }
        )
