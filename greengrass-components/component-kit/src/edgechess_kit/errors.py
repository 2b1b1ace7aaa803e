"""The kit's errors, named by whose fault they are. One root: `KitError`."""

from __future__ import annotations


class KitError(Exception):
    """Root of every error that the kit raises."""


class WireError(KitError):
    """The peer broke the wire: a payload that is too large, is not JSON, or lacks what its type needs.

    `reason` is one sentence that names the field; it is fit to be sent back with status 400.
    """

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic = topic
        self.reason = reason


class LinkLost(KitError):
    """The bus is gone. Whoever supervises the link reconnects; nobody re-sends a physical act."""


class SettingsError(KitError):
    """A setting is missing, unknown, of the wrong type or out of range. The text names the key and its source."""


class JournalError(KitError):
    """The journal cannot be opened, read or written. Nothing may be acted on until it can."""


class BrokerError(KitError):
    """No broker can be started here: none installed, its port taken, or it died. The text says which."""


class ComponentFailed(KitError):
    """A supervised task failed more often than its policy allows. The process must end non-zero."""


class ComponentUnfit(ComponentFailed):
    """It cannot work with its settings or its journal, and no restart changes that. The text is theirs, one line."""


class ShadowError(KitError):
    """The shadow service refused an update, or did not answer in time. A move does not wait for it."""


class IpcRefused(KitError):
    """The nucleus refused an operation. `kind` is the error's name in Greengrass's model, "UnauthorizedError" …"""

    def __init__(self, operation: str, kind: str, text: str) -> None:
        super().__init__(f"{operation}: {kind}{f': {text}' if text else ''}")
        self.kind = kind
        self.text = text

    @property
    def lacking(self) -> bool:
        """The nucleus does not have the operation: nucleus lite says nothing about it, the Java one says this."""
        return self.kind == "ServiceError" and (not self.text or "not supported" in self.text)


class IpcUnanswered(KitError):
    """An operation got no answer: its deadline passed, the connection went, or the answer was none. It may be done."""
