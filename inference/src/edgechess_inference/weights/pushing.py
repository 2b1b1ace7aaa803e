"""`push`: a packed model into a bucket, sending only the chunks that are not there. Needs the extra `[s3]`.

S3 checks the SHA-256 of each chunk as it arrives. The manifest goes last: whoever finds it finds all it names.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from edgechess_inference.weights.errors import ManifestError, SourceError
from edgechess_inference.weights.local_store import CHUNKS, SIGNATURE_SUFFIX, LocalStore, chunk_key
from edgechess_inference.weights.manifest import Chunk, parse
from edgechess_inference.weights.model import split_address
from edgechess_inference.weights.s3_store import (
    S3Errors,
    S3Options,
    endpoint_of,
    open_session,
    region_of,
    split_s3,
)

UPLOADS = 4  # at a time; each holds one chunk in memory

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent, and what was there already. Bytes of chunks."""

    sent_bytes: int
    shared_bytes: int


async def push(
    path: Path,
    address: str,
    options: S3Options,
    progress: Progress = lambda done, total: None,
    ca_file: Path | None = None,
) -> Pushed:
    """From a store on disk (…/NAME.json) to `s3://bucket/prefix/NAME.json`. Raises ManifestError, SourceError, OSError.

    `ca_file`: certificates to trust instead of the system's.
    """
    text = await anyio.to_thread.run_sync(path.read_bytes)
    manifest = parse(text)
    folder, name = split_address(address)
    if not folder.startswith("s3://"):
        raise SourceError(f"{address}: models are pushed to s3://bucket/…/NAME.json")
    bucket, prefix = split_s3(folder)
    remote = _Bucket(bucket, prefix, options, ca_file)
    there = await anyio.to_thread.run_sync(remote.chunks)
    chunks = list(manifest.chunks().values())
    missing = [chunk for chunk in chunks if there.get(chunk.address) != chunk.bytes]
    await _send(remote, LocalStore(path.parent), missing, progress)
    signature = path.with_name(path.name + SIGNATURE_SUFFIX)
    if signature.exists():
        signed = await anyio.to_thread.run_sync(signature.read_bytes)
        await anyio.to_thread.run_sync(remote.put, name + SIGNATURE_SUFFIX, signed, None)
    await anyio.to_thread.run_sync(remote.put, name, text, None)
    sent = sum(chunk.bytes for chunk in missing)
    return Pushed(sent, sum(chunk.bytes for chunk in chunks) - sent)


async def _send(remote: _Bucket, store: LocalStore, missing: Sequence[Chunk], progress: Progress) -> None:
    total, done = sum(chunk.bytes for chunk in missing), 0
    waiting = iter(missing)

    async def upload() -> None:
        nonlocal done
        for chunk in waiting:
            await anyio.to_thread.run_sync(_put_chunk, remote, store, chunk)
            done += chunk.bytes
            progress(done, total)

    try:
        async with anyio.create_task_group() as tasks:
            for number in range(UPLOADS):
                tasks.start_soon(upload, name=f"upload-{number}")
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the first to fail; the others were cancelled for it


def _put_chunk(remote: _Bucket, store: LocalStore, chunk: Chunk) -> None:
    data = store.chunk_path(chunk.address).read_bytes()
    if len(data) != chunk.bytes:
        raise ManifestError(f"chunk {chunk.address[:12]}… of this store is damaged: run `edgechess model verify`")
    remote.put(chunk_key(chunk.address), data, chunk.address)


class _Bucket:
    """A prefix of a bucket, through boto3. Every error becomes a SourceError with S3's own reason."""

    def __init__(self, bucket: str, prefix: str, options: S3Options, ca_file: Path | None) -> None:
        session = open_session(options)
        options.context(ca_file)  # whether it holds any is said before anything is sent
        import boto3
        import botocore.exceptions

        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._reasons = S3Errors(bucket, region_of(session, options))
        self._errors: tuple[type[Exception], ...] = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
        try:
            self._client: Any = boto3.Session(botocore_session=session).client(
                "s3",
                region_name=region_of(session, options),
                endpoint_url=endpoint_of(session, options),
                verify=str(ca_file) if ca_file else None,
            )
        except (*self._errors, ValueError) as error:
            raise SourceError(f"S3: {error}") from error

    def chunks(self) -> dict[str, int]:
        """Address → bytes of what is there."""
        found: dict[str, int] = {}
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}{CHUNKS}/"
            )
            for page in pages:
                for row in page.get("Contents", ()):
                    found[row["Key"].rpartition("/")[2]] = row["Size"]
        except self._errors as error:
            raise self._failed(error, "list") from error
        return found

    def put(self, key: str, data: bytes, address: str | None) -> None:
        """`address`: the SHA-256 that S3 shall find."""
        extra = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(address)).decode()} if address else {}
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, **extra)
        except self._errors as error:
            raise self._failed(error, "write to") from error

    def _failed(self, error: Exception, doing: str) -> SourceError:
        """In the words that reading has for it."""
        answer: dict[str, Any] = getattr(error, "response", {})
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        told = self._reasons.reason(answer.get("Error", {}).get("Code", ""), headers, doing=doing)
        return SourceError(told or f"s3://{self._bucket}: {error}")
