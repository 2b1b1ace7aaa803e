"""S3, and whatever speaks it: signed requests over our own sockets, and what S3's errors mean.

botocore finds the credentials (environment, profile, container, instance) and signs; the bytes do not pass through it:
its ranged reads cost more than twice the processor time (reference). Needs the extra `[s3]`.
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgechess_inference.weights.errors import SourceError
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.http_adapter import HttpSource
from edgechess_inference.weights.source import FetchFailed

if TYPE_CHECKING:
    from botocore.session import Session

DEFAULT_REGION = "us-east-1"
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]{1,32})</Region>")
SLOW_DOWN = ("SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "ThrottlingException", "Throttling")
PASSING = ("InternalError", "RequestTimeout", "OperationAborted")


@dataclasses.dataclass(frozen=True, slots=True)
class S3Options:
    """Where S3 is and who we are; None: what the environment and the AWS configuration say."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None

    def context(self, ca_file: Path | None) -> ssl.SSLContext | None:
        """TLS with these certificates. Raises SourceError where there are none in the file."""
        if ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise SourceError(f"{ca_file} holds no certificates: {error}") from error


def split_s3(folder: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes around it) of `s3://bucket/prefix`. Raises SourceError."""
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    if not re.fullmatch(r"[a-zA-Z0-9.\-_]{3,255}", bucket):
        raise SourceError(f"{folder}: {bucket!r} is no name of a bucket")
    return bucket, prefix.strip("/")


def s3_source(folder: str, options: S3Options, ca_file: Path | None = None) -> HttpSource:
    """The source of `s3://bucket/prefix`. Raises SourceError (no credentials, no region, a bad name)."""
    bucket, prefix = split_s3(folder)
    session = open_session(options)
    region = region_of(session, options)
    endpoint = endpoint_of(session, options)
    if endpoint is not None:
        url = f"{endpoint.rstrip('/')}/{bucket}"
    elif "." in bucket:  # a name with dots does not fit the certificate
        url = f"https://s3.{region}.amazonaws.com/{bucket}"
    else:
        url = f"https://{bucket}.s3.{region}.amazonaws.com"
    errors = S3Errors(bucket, region, prefix)
    bundle = session.get_config_variable("ca_bundle")
    ca_file = ca_file or (Path(bundle) if bundle else None)
    return HttpSource(
        f"{url}/{prefix}" if prefix else url,
        name=f"s3://{bucket}",
        tls=options.context(ca_file) if url.startswith("https:") else None,
        sign=_Signer(session, region),
        explain=errors,
    )


def open_session(options: S3Options) -> Session:
    """botocore's session. Raises SourceError: not installed, or no such profile."""
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError as error:
        raise SourceError("S3 needs boto3: install edgechess-inference[s3]", asked=False) from error
    try:
        session = botocore.session.Session(profile=options.profile)
        session.get_scoped_config()
    except botocore.exceptions.BotoCoreError as error:
        raise SourceError(f"S3: {error}", asked=False) from error
    return session


def region_of(session: Session, options: S3Options) -> str:
    return options.region or session.get_config_variable("region") or DEFAULT_REGION


def endpoint_of(session: Session, options: S3Options) -> str | None:
    """A given endpoint, or that of AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL. Raises SourceError."""
    import os

    found = options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if found is not None and urlsplit(found).scheme not in ("http", "https"):
        raise SourceError(f"{found} is no endpoint: it begins with http:// or https://")
    return found


class _Signer:
    """Signs with the credentials of now: those of roles are renewed by botocore while a stream runs."""

    def __init__(self, session: Session, region: str) -> None:
        import botocore.exceptions
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        self._region = region
        self._auth: Any = S3SigV4Auth
        self._request: Any = AWSRequest
        self._errors = botocore.exceptions.BotoCoreError
        self._refusal = botocore.exceptions.ClientError
        try:
            self._credentials: Any = session.get_credentials()
        except self._errors as error:
            raise SourceError(f"S3: {error}", passing=True) from error  # whoever hands them out does not answer
        if self._credentials is None:
            raise SourceError("S3: there are no credentials (AWS_ACCESS_KEY_ID, a profile, or a role)", asked=False)

    def __call__(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        """Raises FetchFailed: RESET where whoever hands out credentials does not answer, DENIED where it says no."""
        request = self._request(method="GET", url=url, headers=headers)
        try:
            frozen = self._credentials.get_frozen_credentials()  # of a role: only now is it asked for them
        except self._errors as error:
            raise FetchFailed(Fault.RESET, f"S3: {error}") from error
        except self._refusal as error:
            raise FetchFailed(Fault.DENIED, f"S3: {error}") from error
        self._auth(frozen, "s3", self._region).add_auth(request)
        return dict(request.headers.items())


class S3Errors:
    """Which of the many reasons to refuse it was, in one sentence that names what to change."""

    def __init__(self, bucket: str, region: str, prefix: str = "") -> None:
        self._bucket = bucket
        self._region = region
        self._prefix = f"{prefix}/" if prefix else ""

    def __call__(self, key: str, status: int, headers: Mapping[str, str], body: bytes) -> FetchFailed | None:
        found = _CODE.search(body)
        code = found.group(1).decode() if found else ""
        if code in SLOW_DOWN:
            return FetchFailed(Fault.THROTTLED, f"s3://{self._bucket} asks us to slow down ({code})")
        if code in PASSING:
            return FetchFailed(Fault.RESET, f"s3://{self._bucket} answers {code}")
        if status == 404 and code != "NoSuchBucket":
            return FetchFailed(Fault.MISSING, f"s3://{self._bucket} has no key {self._prefix + key!r}")
        text = self.reason(code, headers, body)
        return FetchFailed(Fault.DENIED, text) if text else None

    def reason(self, code: str, headers: Mapping[str, str], body: bytes = b"", *, doing: str = "read") -> str | None:
        """What S3's error code means; None for those that are told as they come."""
        bucket, found = self._bucket, _REGION.search(body)
        region = headers.get("x-amz-bucket-region") or (found.group(1).decode() if found else None)
        if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
            return f"the bucket {bucket} is in the region {region or 'that its owner knows'}, not in {self._region}"
        if region is not None and region != self._region and code != "NoSuchBucket":
            return f"the bucket {bucket} is in the region {region}, not in {self._region}"
        return {
            "NoSuchBucket": f"there is no bucket {bucket}",
            "AccessDenied": f"these credentials may not {doing} s3://{bucket}",
            "AllAccessDisabled": f"the bucket {bucket} is closed by its owner",
            "InvalidAccessKeyId": "the access key id is not known to S3",
            "SignatureDoesNotMatch": "the secret access key is wrong (or a proxy changes our requests)",
            "ExpiredToken": "the credentials have expired",
            "InvalidToken": "the session token is not valid",
            "RequestTimeTooSkewed": "this machine's clock is wrong: S3 refuses its signatures",
        }.get(code)
