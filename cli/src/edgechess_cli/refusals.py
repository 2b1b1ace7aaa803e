"""What a reader of documents refused, as a line for a person."""

from __future__ import annotations

from edgechess_nucleus.documents import DocumentError


def refusal(error: DocumentError) -> str:
    """`file:line: what`; without a line where the file or folder could not even be opened."""
    if isinstance(error.__cause__, OSError):
        return f"{error.place.file}: {error.what}"
    return str(error)
