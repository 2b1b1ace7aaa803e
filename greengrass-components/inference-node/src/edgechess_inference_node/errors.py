"""What the node refuses, and what it cannot do just now."""

from __future__ import annotations


class NodeError(Exception):
    """Root of what the node raises."""


class RequestRefused(NodeError):
    """A request that makes no sense (400). The text is for whoever asked."""


class PageServerFailed(NodeError):
    """The HTTP pages cannot be served: the port is in use, or not ours to open. Moves are answered all the same."""
