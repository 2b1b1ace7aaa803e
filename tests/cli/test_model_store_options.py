"""Commands on models and adapters state in one way where S3 is and whom to trust; what S3 answers is told in a line."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgechess_inference.weights.safetensors_file import header_bytes

pytest.importorskip("boto3")


class FakeS3:
    """Answers every request with one S3 error, and keeps who asked."""

    def __init__(self) -> None:
        self.status, self.code, self.more = 404, "NoSuchKey", ""
        self.signed: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.signed.append(self.headers.get("Authorization", ""))
                body = f"<?xml version='1.0'?><Error><Code>{outer.code}</Code>{outer.more}</Error>".encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    """With a profile `club`, and no other credentials."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text("[club]\naws_access_key_id = CLUBKEY\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    made = FakeS3()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def peft(tmp_path: Path) -> Path:
    folder = tmp_path / "peft"
    folder.mkdir()
    rows = [("a.lora_A.weight", "F32", (2, 8)), ("a.lora_B.weight", "F32", (8, 2))]
    (folder / "adapter_model.safetensors").write_bytes(header_bytes(rows, {}) + bytes(4 * 32))
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4, "r": 2}))
    return folder


def packed(edgechess: Any, folder: Path, *more: str) -> Path:
    """A base with the layer that the adapter changes."""
    (folder / "base.safetensors").write_bytes(header_bytes([("a.weight", "F32", (8, 8))], {}) + bytes(256))
    source, target = str(folder / "base.safetensors"), folder / "store" / "base.json"
    done = edgechess("model", "pack", source, str(target), "--architecture", "A", *more)
    assert done.code == 0, done.err
    return target


@pytest.mark.parametrize(
    "words",
    [
        ("model", "inspect", "s3://models/x.json"),
        ("model", "verify", "s3://models/x.json"),
        ("model", "pull", "s3://models/x.json", "here/x.json"),
        ("model", "push", "{store}", "s3://models/x.json"),
        ("adapter", "inspect", "s3://models/x.json"),
        ("adapter", "pack", "{peft}", "here/x.json", "--base", "s3://models/x.json"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_states_s3_alike(
    words: tuple[str, ...], s3: FakeS3, peft: Path, tmp_path: Path, edgechess: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = packed(edgechess, tmp_path)
    given = [word.format(store=store, peft=peft) for word in words]
    s3.status, s3.code = 403, "AccessDenied"
    place = ("--s3-endpoint", s3.url, "--s3-region", "eu-west-1", "--s3-profile", "club")
    told = edgechess(*given, *place)
    assert told.code == 2
    assert "these credentials may not" in told.err
    assert told.err.count("\n") == 1
    assert s3.signed
    assert all("Credential=CLUBKEY/" in signed and "/eu-west-1/s3/" in signed for signed in s3.signed)
    bad = edgechess(*given, *place[:1], "https://127.0.0.1:1", *place[2:], "--ca", str(store))
    assert "holds no certificates" in bad.err


@pytest.mark.parametrize(
    ("status", "code", "more", "said"),
    [
        (404, "NoSuchBucket", "", "there is no bucket models"),
        (404, "NoSuchKey", "", "s3://models has no key 'x.json'"),
        (301, "PermanentRedirect", "<Region>ap-south-1</Region>", "is in the region ap-south-1, not in us-east-1"),
        (400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>", "is in the region eu-west-3"),
        (400, "ExpiredToken", "", "the credentials have expired"),
        (403, "InvalidAccessKeyId", "", "the access key id is not known"),
        (403, "SignatureDoesNotMatch", "", "the secret access key is wrong"),
    ],
)
def test_what_s3_answers_is_told_in_one_line(
    status: int, code: str, more: str, said: str, s3: FakeS3, edgechess: Any
) -> None:
    s3.status, s3.code, s3.more = status, code, more
    for command in ("model", "adapter"):
        told = edgechess(command, "inspect", "s3://models/x.json", "--s3-endpoint", s3.url, "--s3-profile", "club")
        assert (told.code, told.err.count("\n")) == (2, 1)
        assert said in told.err


def test_an_adapter_is_signed_and_trusted_as_a_model_is(peft: Path, tmp_path: Path, edgechess: Any) -> None:
    pytest.importorskip("cryptography")
    key, adapter = str(tmp_path / "key"), str(tmp_path / "store" / "style.json")
    public = edgechess("model", "key", key).out.strip()
    base = str(packed(edgechess, tmp_path, "--sign", key))
    done = edgechess("adapter", "pack", str(peft), adapter, "--base", base, "--trust", public, "--sign", key)
    assert done.code == 0, done.err
    assert edgechess("adapter", "inspect", adapter, "--base", base, "--trust", public).code == 0
    stranger = edgechess("adapter", "inspect", adapter, "--trust", "ab" * 32)
    assert (stranger.code, "whom nobody told us to trust" in stranger.err) == (2, True)


def test_without_cryptography_signatures_are_refused_by_name(
    tmp_path: Path, edgechess: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = packed(edgechess, tmp_path)
    (base.parent / "base.json.sig").write_text("ed25519 aa bb\n")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    for words in (("key", str(tmp_path / "key")), ("inspect", str(base), "--trust", "ab" * 32)):
        told = edgechess("model", *words)
        assert (told.code, told.err.count("\n")) == (2, 1)
        assert "install edgechess-inference[sign]" in told.err
