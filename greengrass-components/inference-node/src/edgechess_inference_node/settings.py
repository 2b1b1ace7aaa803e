"""What an operator can set for the inference node (section `[inference-node]`)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of models and adapters are paths, `https://…/NAME.json` or `s3://BUCKET/…/NAME.json`."""

    models: Annotated[
        tuple[str, ...],
        Meta(
            description="served as model:NAME; each NAME=ADDRESS, or an address whose file names it; none: the shipped one"
        ),
    ] = ()
    adapters: Annotated[
        tuple[str, ...], Meta(description="served as model:NAME@ADAPTER; each ADAPTER=ADDRESS, or an address")
    ] = ()
    players: Annotated[
        tuple[str, ...],
        Meta(
            description="what may be asked for: names of players, or whole words such as openai:http://127.0.0.1:8000/v1#M"
        ),
    ] = ("model", "stockfish", "builtin", "random")
    sources: Annotated[
        tuple[str, ...], Meta(description="control may load from addresses that begin so; none: from anywhere")
    ] = ()
    device: Annotated[str, Meta(description="where models compute: cpu, cuda, cuda:1")] = "cpu"
    backend: Annotated[
        Literal["auto", "torch", "onnxruntime"], Meta(description="auto: onnxruntime for policy networks on the cpu")
    ] = "auto"
    threads: Annotated[int, Meta(description="of onnxruntime; 0: as many as there are cores", ge=0, le=256)] = 0
    trust: Annotated[
        tuple[str, ...], Meta(description="public keys; given: every model must be signed by one of them")
    ] = ()
    mirrors: Annotated[
        tuple[str, ...], Meta(description="further folders or URLs that have the models under the same names")
    ] = ()
    cache: Annotated[str, Meta(description="folder that keeps chunks between starts; empty: none")] = ""
    memory_mb: Annotated[
        int, Meta(description="what weights may take while two models are swapped; 0: both always fit", ge=0)
    ] = 0
    batch: Annotated[int, Meta(description="positions computed together", ge=1, le=256)] = 32
    requests: Annotated[int, Meta(description="in work at once; one more is refused with 503", ge=1, le=10_000)] = 64
    device_adapters: Annotated[int, Meta(description="adapters on the device at once", ge=1, le=1024)] = 8
    host_adapters: Annotated[int, Meta(description="adapters in host memory at once", ge=1, le=4096)] = 64
    engine: Annotated[Literal["stockfish", "builtin"], Meta(description="moves where no model does")] = "stockfish"
    engines: Annotated[int, Meta(description="engine processes at once", ge=1, le=64)] = 2
    seed: Annotated[int, Meta(description="of everything that is drawn")] = 0
    inline: Annotated[bool, Meta(description="virtual time: nothing waits outside the scheduler")] = False
    timeout_max_s: Annotated[
        float, Meta(description="no question takes longer, whatever it asks for", gt=0, le=86_400)
    ] = 600.0
    http_host: Annotated[str, Meta(description="of /healthz and /metrics; loopback only")] = "127.0.0.1"
    http_port: Annotated[int, Meta(description="of /healthz and /metrics; 0: not served", ge=0, le=65_535)] = 8087

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.http_host not in LOOPBACK:
            raise ValueError(
                f"http_host is {self.http_host!r}: the pages have no password, so they are served on loopback only"
                f" ({', '.join(LOOPBACK)}); put a proxy before them to show them elsewhere"
            )
        for mirror in self.mirrors:
            if mirror.endswith(".json"):
                raise ValueError(f"mirrors: {mirror!r} is one model; name the folder that has them all")
        for key in ("models", "adapters"):
            names = [named_address(text)[0] for text in getattr(self, key)]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: {twice[0]!r} is named twice")


def named_address(text: str) -> tuple[str, str]:
    """`NAME=ADDRESS` -> (NAME, ADDRESS); an address alone is named by its file. Raises ValueError."""
    name, equals, address = text.partition("=")
    if not equals or "/" in name or "." in name:
        name, address = text.rpartition("/")[2].removesuffix(".json"), text
    if not name or not address or any(letter in name for letter in "@:#,"):
        raise ValueError(f"{text!r}: expected NAME=ADDRESS, NAME without @ : # and comma")
    return name, address
