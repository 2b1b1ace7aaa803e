"""What can go wrong with weights, named by whose fault it is. All are InferenceErrors."""

from __future__ import annotations

from edgechess_inference.errors import InferenceError


class WeightsError(InferenceError):
    """Root of everything that packing, storing and streaming weights raises."""


class ManifestError(WeightsError):
    """A manifest, or a file to be packed, that is not what FORMAT.md (or safetensors) says. The text names the field."""


class SignatureError(WeightsError):
    """A manifest without a signature where one was asked for, or signed by nobody we trust. Nothing of it was used."""


class SourceError(WeightsError):
    """A store cannot be reached, refuses us, or lacks what we ask for. The text says which (bucket, key, credentials …).

    `passing`: it could not be asked now, and may answer the next time. `asked`: False where we lack what asking takes
    (credentials, a package): nothing is known of its answer, and asking once more brings none. Else it has answered.
    """

    def __init__(self, text: str, *, passing: bool = False, asked: bool = True) -> None:
        super().__init__(text)
        self.passing = passing
        self.asked = asked

    @property
    def answered(self) -> bool:
        """The store's own word, to be believed."""
        return self.asked and not self.passing


class DamageError(WeightsError):
    """Every source keeps sending bytes that do not match their digest. None of them was served."""


class StreamStopped(WeightsError):
    """The stream was closed before what was asked for had arrived."""
