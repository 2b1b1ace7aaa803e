"""A real S3 API (moto's server): pushing, streaming, and errors that say which of the many it was."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgechess_inference.weights.errors import SourceError
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.local_store import CHUNKS
from edgechess_inference.weights.manifest_memory import ManifestMemory
from edgechess_inference.weights.model import ModelOptions, open_model
from edgechess_inference.weights.pushing import push
from edgechess_inference.weights.s3_store import S3Errors, S3Options, s3_source, split_s3
from edgechess_inference.weights.source import FetchFailed
from edgechess_inference.weights.streamer import open_stream

boto3 = pytest.importorskip("boto3")
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Options:
    """Credentials; nobody answers at the endpoint."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return S3Options(endpoint="http://127.0.0.1:1", region="us-east-1")


@pytest.fixture
def s3(endpoint: str, account: S3Options) -> S3Options:
    """A server with the bucket `models`."""
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="models")
    return dataclasses.replace(account, endpoint=endpoint)


@pytest.mark.slow
async def test_pushed_and_streamed_back(
    workshop: Any, s3: S3Options, packed: Path, buffer: HostBuffer, image: str
) -> None:
    address = "s3://models/some/where/tiny.json"
    first = await push(packed, address, s3)
    assert (first.sent_bytes, first.shared_bytes) == (buffer.bytes + len('{"a": 1}'), 0)
    again = await push(packed, "s3://models/some/where/again.json", s3)
    assert again.sent_bytes == 0
    model = await open_model(address, ModelOptions(s3=s3))
    async with open_stream(model, buffer) as stream:
        await stream.done()
    assert workshop.digest(buffer) == image
    assert await model.file("tokenizer.json") == b'{"a": 1}'


@pytest.mark.slow
async def test_a_bucket_that_does_not_exist(s3: S3Options) -> None:
    with pytest.raises(SourceError, match="there is no bucket nowhere"):
        await open_model("s3://nowhere/tiny.json", ModelOptions(s3=s3))


@pytest.mark.slow
async def test_a_key_that_does_not_exist(s3: S3Options) -> None:
    with pytest.raises(SourceError, match=r"s3://models has no key 'some/else\.json'"):
        await open_model("s3://models/some/else.json", ModelOptions(s3=s3))


@pytest.mark.slow
async def test_pushing_to_no_bucket(s3: S3Options, packed: Path) -> None:
    with pytest.raises(SourceError, match="there is no bucket nowhere"):
        await push(packed, "s3://nowhere/tiny.json", s3)
    with pytest.raises(SourceError, match="pushed to s3"):
        await push(packed, "/tmp/tiny.json", s3)


# ---------------------------------------------------------------- nothing to ask with


@pytest.fixture
def nameless(account: S3Options, monkeypatch: pytest.MonkeyPatch) -> S3Options:
    """No credentials anywhere."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return account


@pytest.fixture
def remembered(packed: Path, tmp_path: Path) -> Path:
    """A cache as a start from s3://models/tiny.json leaves it."""
    ManifestMemory(tmp_path).keep("s3://models/tiny.json", packed.read_bytes(), None)
    shutil.copytree(packed.parent / CHUNKS, tmp_path / CHUNKS)
    return tmp_path


def test_no_credentials(nameless: S3Options) -> None:
    with pytest.raises(SourceError, match="no credentials"):
        s3_source("s3://models/x", nameless)


def test_a_profile_that_does_not_exist(account: S3Options) -> None:
    with pytest.raises(SourceError, match="nobody"):
        s3_source("s3://models/x", S3Options(profile="nobody"))


@pytest.mark.parametrize("profile", [None, "nobody"])
async def test_a_cache_that_has_it_all_needs_no_credentials(
    workshop: Any,
    nameless: S3Options,
    remembered: Path,
    buffer: HostBuffer,
    image: str,
    profile: str | None,
    caplog: Any,
) -> None:
    s3 = dataclasses.replace(nameless, profile=profile)
    model = await open_model("s3://models/tiny.json", ModelOptions(cache=remembered, s3=s3))
    async with open_stream(model, buffer) as stream:
        await stream.done()
    assert workshop.digest(buffer) == image
    assert await model.file("tokenizer.json") == b'{"a": 1}'
    assert model.remark is not None
    assert "s3://models/tiny.json is taken as it was when it was last read" in model.remark
    assert ("nobody" if profile else "no credentials") in caplog.text
    with pytest.raises(SourceError, match="nobody" if profile else "no credentials"):
        await open_model("s3://models/other.json", ModelOptions(cache=remembered, s3=s3))


async def test_what_a_cache_lacks_is_not_had_without_credentials_and_the_error_says_so(
    workshop: Any, nameless: S3Options, remembered: Path, packed: Path, buffer: HostBuffer
) -> None:
    (remembered / workshop.chunk_keys(packed)[1]).unlink()
    model = await open_model("s3://models/tiny.json", ModelOptions(cache=remembered, s3=nameless))
    with pytest.raises(SourceError, match="no credentials"):
        async with open_stream(model, buffer) as stream:
            await stream.done()


async def test_a_mirror_serves_who_has_no_credentials(
    workshop: Any, nameless: S3Options, packed: Path, buffer: HostBuffer, image: str
) -> None:
    model = await open_model("s3://models/tiny.json", ModelOptions(mirrors=(str(packed),), s3=nameless))
    async with open_stream(model, buffer) as stream:
        await stream.done()
    assert workshop.digest(buffer) == image
    assert model.remark is None


@pytest.mark.slow
async def test_started_with_credentials_and_again_without(
    workshop: Any, s3: S3Options, packed: Path, buffer: HostBuffer, image: str, tmp_path: Path, monkeypatch: Any
) -> None:
    address, options = "s3://models/kept/tiny.json", ModelOptions(cache=tmp_path, s3=s3)
    await push(packed, address, s3)
    async with open_stream(await open_model(address, options), buffer) as stream:
        await stream.done()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    async with open_stream(await open_model(address, options), buffer) as stream:
        await stream.done()
        assert stream.snapshot().tally.by_source["cache"] == buffer.bytes
    assert workshop.digest(buffer) == image


def test_whoever_hands_out_credentials_may_be_silent_or_say_no(account: S3Options, monkeypatch: Any) -> None:
    """Those of a role are asked for when the first request is signed: silence passes, a refusal does not."""
    import botocore.exceptions
    import botocore.session

    class Role:
        error: Exception

        def get_frozen_credentials(self) -> None:
            raise self.error

    role = Role()
    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda self: role)
    sign = s3_source("s3://models/a", account).sign
    assert sign is not None
    refusal = {"Error": {"Code": "AccessDenied", "Message": "not you"}}
    for error, fault, text in (
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://sts"), Fault.RESET, "https://sts"),
        (botocore.exceptions.ClientError(refusal, "AssumeRole"), Fault.DENIED, "not you"),
    ):
        role.error = error
        with pytest.raises(FetchFailed, match=text) as failed:
            sign("http://127.0.0.1:1/models/a/k", {"Host": "127.0.0.1"})
        assert failed.value.fault is fault


# ---------------------------------------------------------------- which error it was


ANSWERS = {  # from the S3 API reference, "Error responses"
    "NoSuchBucket": (404, "there is no bucket models"),
    "AccessDenied": (403, "may not read"),
    "InvalidAccessKeyId": (403, "access key id is not known"),
    "SignatureDoesNotMatch": (403, "secret access key is wrong"),
    "ExpiredToken": (400, "have expired"),
    "InvalidToken": (400, "session token"),
    "RequestTimeTooSkewed": (403, "clock is wrong"),
}


@pytest.mark.parametrize("code", ANSWERS)
def test_an_error_says_which(code: str) -> None:
    status, text = ANSWERS[code]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    failed = S3Errors("models", "eu-west-1")("k", status, {}, body)
    assert failed is not None
    assert failed.fault is Fault.DENIED
    assert text in failed.text


def test_another_region_is_named() -> None:
    errors = S3Errors("models", "eu-west-1")
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-east-2</Region></Error>"
    by_body, by_header = errors("k", 400, {}, body), errors("k", 301, {"x-amz-bucket-region": "ap-south-1"}, b"")
    assert by_body is not None
    assert "region us-east-2, not in eu-west-1" in by_body.text
    assert by_header is not None
    assert "ap-south-1" in by_header.text


def test_pushing_says_in_the_same_words_what_may_not_be_done() -> None:
    errors = S3Errors("models", "eu-west-1")
    assert errors.reason("AccessDenied", {}, doing="write to") == "these credentials may not write to s3://models"
    assert "is in the region ap-south-1" in str(
        errors.reason("PermanentRedirect", {"x-amz-bucket-region": "ap-south-1"})
    )


@pytest.mark.parametrize("inside", ["a/b", ""])
def test_a_key_is_told_as_it_stands_in_the_bucket(inside: str) -> None:
    failed = S3Errors("models", "eu-west-1", inside)("k.json", 404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
    assert failed is not None
    assert failed.text == f"s3://models has no key {(inside + '/k.json').strip('/')!r}"


def test_what_passes_is_tried_again() -> None:
    errors = S3Errors("models", "eu-west-1")
    for code, fault in (("SlowDown", Fault.THROTTLED), ("InternalError", Fault.RESET), ("RequestTimeout", Fault.RESET)):
        failed = errors("k", 503, {}, f"<Error><Code>{code}</Code></Error>".encode())
        assert failed is not None
        assert failed.fault is fault
    assert errors("k", 502, {}, b"<html>") is None


def test_where_a_bucket_is(account: S3Options) -> None:
    amazon = S3Options(region="eu-west-1")
    assert s3_source("s3://models/a/b", amazon).host == "models.s3.eu-west-1.amazonaws.com"
    assert s3_source("s3://my.models/a", amazon).path == "/my.models/a"
    assert s3_source("s3://models/a", account).path == "/models/a"
    assert split_s3("s3://models") == ("models", "")
    for wrong in ("s3://", "s3://a b/c"):
        with pytest.raises(SourceError, match="no name of a bucket"):
            split_s3(wrong)


def test_requests_are_signed(account: S3Options) -> None:
    source = s3_source("s3://models/a", account)
    assert source.sign is not None
    headers = source.sign(f"{account.endpoint}/models/a/k", {"Host": source.authority, "Range": "bytes=5-"})
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=testing/")
    assert "host;range;x-amz-content-sha256;x-amz-date" in headers["Authorization"]
