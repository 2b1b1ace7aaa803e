"""Where packed models and adapters are, and whom to trust: options that every command on them states alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from edgechess_inference.weights.model import ModelOptions
from edgechess_inference.weights.s3_store import S3Options

MirrorOption = Annotated[list[str] | None, typer.Option("--mirror", help="Another address of the same model.")]
CacheOption = Annotated[Path | None, typer.Option("--cache", help="Folder that keeps chunks between starts.")]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", help="Public key that must have signed the manifest; every SHA-256 is then verified."),
]
EndpointOption = Annotated[str | None, typer.Option("--s3-endpoint", help="An S3 that is not Amazon's.")]
RegionOption = Annotated[str | None, typer.Option("--s3-region", help="Region of the bucket.")]
ProfileOption = Annotated[str | None, typer.Option("--s3-profile", help="Profile of the AWS configuration.")]
CaOption = Annotated[Path | None, typer.Option("--ca", help="Certificates to trust for https, a PEM file.")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where S3 is, and which certificate it may show."""

    endpoint: EndpointOption = None
    region: RegionOption = None
    profile: ProfileOption = None
    ca: CaOption = None

    def s3(self) -> S3Options:
        return S3Options(self.endpoint, self.region, self.profile)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifested(S3Place):
    """How a manifest is read."""

    trust: TrustOption = None

    def opening(self, mirrors: list[str] | None = None, cache: Path | None = None) -> ModelOptions:
        return ModelOptions(
            mirrors=tuple(mirrors or ()), cache=cache, trust=tuple(self.trust or ()), s3=self.s3(), ca_file=self.ca
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored(Manifested):
    """And its chunks, from one of several places."""

    mirror: MirrorOption = None

    def options(self) -> ModelOptions:
        return self.opening(self.mirror)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cached(Manifested):
    """Or from a cache before that."""

    mirror: MirrorOption = None
    cache: CacheOption = None

    def options(self) -> ModelOptions:
        return self.opening(self.mirror, self.cache)
