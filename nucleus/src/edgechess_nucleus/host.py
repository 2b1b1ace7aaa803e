"""What the IPC server asks of the runtime that runs the components, and nothing more.

The other direction is `IpcServer`'s own methods: `revoke(component)` when a component got a new token,
`configuration_changed(component, paths)` when a deployment changed its configuration, `updates` before and after one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from edgechess_nucleus.configuration import Configuration, KeyPath

ReportedState = Literal["RUNNING", "ERRORED"]


class Secrets(Protocol):
    """Where GetSecretValue finds its answers; see `secrets.py` for the one that reads a file."""

    def find(self, secret_id: str, version_id: str | None, version_stage: str | None) -> Secret | None:
        """By name or ARN; both version words None: the version staged AWSCURRENT."""


class Secret(Protocol):
    """One version of one secret. One of `text` and `data` is not None."""

    @property
    def arn(self) -> str: ...
    @property
    def version_id(self) -> str: ...
    @property
    def stages(self) -> Sequence[str]: ...
    @property
    def text(self) -> str | None: ...
    @property
    def data(self) -> bytes | None: ...


class Host(Protocol):
    """The runtime. No method waits; none may raise."""

    @property
    def thing_name(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def secrets(self) -> Secrets: ...

    def component_of(self, token: str) -> str | None:
        """Whose SVCUID this is now; None: nobody's (never given, or revoked)."""

    def configuration(self, component: str) -> Configuration | None:
        """The live tree, which the server changes by `merge`; None: there is no such component."""

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        """The component itself changed these keys by UpdateConfiguration: keep them."""

    def report_state(self, component: str, state: ReportedState) -> None:
        """The component called UpdateState."""
