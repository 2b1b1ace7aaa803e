"""A plan carried out in an AWS account: artifacts to S3, component versions registered, one deployment created.

Every call goes through `Calls`, which prints it; when it only prints, nothing is asked of any network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from edgechess_cli.artifact import digest_of
from edgechess_cli.deploy_plan import JsonObject, Plan, Release, defaults_in, resets
from edgechess_nucleus.versions import Version

GREENGRASS = "greengrassv2"
POLL_S = 2.0  # the service checks a recipe and its artifacts in some seconds
READY_TIMEOUT_S = 120.0
TARGET = re.compile(r"arn:(aws[a-z-]*):iot:([a-z0-9-]+):([0-9]{12}):(thing|thinggroup)/[a-zA-Z0-9:_/-]+\Z")
ANSWERS = {
    "InvalidClientTokenId": "these AWS credentials are of no account that is known",
    "UnrecognizedClientException": "these AWS credentials are of no account that is known",
    "ExpiredToken": "the AWS credentials have expired: sign in again",
    "ExpiredTokenException": "the AWS credentials have expired: sign in again",
}


class CloudError(Exception):
    """What AWS, or the way to it, would not do; the text says what to do about it."""


def check_target(target: str, region: str) -> None:
    """Raises CloudError for what is no target, or one of another region."""
    match = TARGET.match(target)
    if match is None:
        raise CloudError(f"--target-arn {target}: expected arn:aws:iot:REGION:ACCOUNT:thing/NAME or …:thinggroup/NAME")
    if match[2] != region:
        raise CloudError(f"--target-arn is in {match[2]} and --region says {region}: they must be the same")


def check_region(region: str) -> None:
    """Raises CloudError."""
    known = boto3.session.Session().get_available_regions(GREENGRASS)
    if known and region not in known:
        raise CloudError(f"--region {region}: Greengrass is not there; it is in {', '.join(known)}")


class Calls:
    """The calls of one deployment. `client` gives the client of a service; None: everything is printed, nothing done."""

    def __init__(self, client: Callable[[str], Any] | None, say: Callable[[str], None]) -> None:
        self._client = client
        self._say = say
        self._clients: dict[str, Any] = {}

    @property
    def only_printed(self) -> bool:
        return self._client is None

    def __call__(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """The answer; empty when it was only printed. Raises CloudError."""
        self._say(f"{service}.{operation} {json.dumps(parameters, default=_shown)}")
        if self._client is None:
            return {}
        try:
            if service not in self._clients:
                self._clients[service] = self._client(service)
            answer: Mapping[str, Any] = getattr(self._clients[service], operation)(**_opened(parameters))
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise CloudError("no AWS credentials: run `aws configure`, or set AWS_PROFILE") from error
        except ClientError as error:
            raise CloudError(_told(error, operation, parameters)) from error
        except (BotoCoreError, OSError) as error:
            raise CloudError(f"{service}.{operation}: {error}") from error
        return answer


def _shown(value: Any) -> Any:
    return json.loads(value) if isinstance(value, bytes) else str(value)


def _opened(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.read_bytes() if isinstance(value, Path) else value for key, value in parameters.items()}


def _told(error: ClientError, operation: str, parameters: Mapping[str, Any]) -> str:
    answer = error.response
    code, text = str(answer["Error"].get("Code")), str(answer["Error"].get("Message"))
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    bucket = parameters.get("Bucket")
    if code in ANSWERS:
        return ANSWERS[code]
    if bucket is not None and code in ("404", "NoSuchBucket"):
        return f"bucket {bucket} does not exist: make it in the region of the core device (aws s3 mb s3://{bucket})"
    if bucket is not None and code in ("301", "PermanentRedirect", "AuthorizationHeaderMalformed"):
        where = headers.get("x-amz-bucket-region", "another region")
        return f"bucket {bucket} is in {where}: say --region {where}, or take another bucket"
    if bucket is not None and code in ("403", "AccessDenied"):
        return f"bucket {bucket}: it is another account's, or these credentials may not {operation} in it"
    if code == "AccessDeniedException":
        return f"these credentials may not call {operation}: {text}"
    return f"{operation}: {code}: {text}"


class Cloud:
    def __init__(self, calls: Calls, bucket: str, say: Callable[[str], None]) -> None:
        self._calls = calls
        self._bucket = bucket
        self._say = say
        self._made: dict[str, str] = {}  # ARN of each component version that was registered now

    async def deploy(self, plan: Plan, target: str, previous: Mapping[str, JsonObject], poll_s: float = POLL_S) -> None:
        """`previous`: defaults of older recipes by component, where the service is not asked. Raises CloudError."""
        self._calls("s3", "head_bucket", Bucket=self._bucket)
        newest = self._newest()
        to_reset: dict[str, list[str]] = {}
        for release in plan.releases:
            older = self._register(release, newest.get(release.name))
            known = defaults_in(older) if older is not None else previous.get(release.name, {})
            to_reset[release.name] = resets(known, release.defaults)
        for name, arn in self._made.items():
            await self._until_deployable(name, arn, poll_s)
        for name, pointers in to_reset.items():
            if pointers:
                self._say(f"{name}: reset {', '.join(pointers)}: defaults that changed, and what was set there by hand")
        optional = {key: plan.raw[key] for key in ("deploymentPolicies", "iotJobConfiguration") if key in plan.raw}
        answer = self._calls(
            GREENGRASS,
            "create_deployment",
            targetArn=target,
            deploymentName=plan.deployment.name,
            components=plan.components(to_reset),
            **optional,
        )
        if answer:
            self._say(f"deployment {answer['deploymentId']} is under way to {target}")

    def _newest(self) -> dict[str, JsonObject]:
        """`latestVersion` of every component of the account, by name."""
        found: dict[str, JsonObject] = {}
        more: dict[str, str] = {}
        while True:
            page = self._calls(GREENGRASS, "list_components", scope="PRIVATE", **more)
            for component in page.get("components", []):
                found[component["componentName"]] = component["latestVersion"]
            if not page.get("nextToken"):
                return found
            more = {"nextToken": page["nextToken"]}

    def _register(self, release: Release, newest: JsonObject | None) -> JsonObject | None:
        """The newest registered recipe, whose configuration devices may have. Raises CloudError."""
        older: JsonObject | None = None
        if newest is not None:
            answer = self._calls(GREENGRASS, "get_component", arn=newest["arn"], recipeOutputFormat="JSON")
            older = json.loads(answer["recipe"])
            if newest["componentVersion"] == release.version:
                self._same(release, older)
                return older
            if Version.parse(newest["componentVersion"]) > release.recipe.version:
                self._say(f"{release.name}: {newest['componentVersion']} is registered, and this is {release.version}")
        for file in release.files:
            self._calls(
                "s3", "put_object", Bucket=self._bucket, Key=release.key(file), Body=file,
                ChecksumSHA256=digest_of(file),
            )  # fmt: skip
        recipe = json.dumps(release.registered(self._bucket), separators=(",", ":")).encode()
        answer = self._calls(GREENGRASS, "create_component_version", inlineRecipe=recipe)
        if answer:
            self._made[release.name] = answer["arn"]
        return older

    def _same(self, release: Release, registered: JsonObject | None) -> None:
        """Raises CloudError: a registered version never changes."""
        digests = {_file_name(one): one.get("Digest") for one in _artifacts(registered or {})}
        same = defaults_in(registered or {}) == release.defaults and all(
            digests.get(file.name) in (None, digest_of(file)) for file in release.files
        )
        if not same:
            raise CloudError(
                f"{release.name} {release.version} is registered already, with other contents, and a version never"
                " changes: build with a higher one (edgechess build --version)"
            )
        self._say(f"{release.name} {release.version} is registered already, and the same")

    async def _until_deployable(self, name: str, arn: str, poll_s: float) -> None:
        """Raises CloudError: the service refused the recipe or its artifacts, or takes too long."""
        with anyio.move_on_after(READY_TIMEOUT_S):
            while True:
                status = self._calls(GREENGRASS, "describe_component", arn=arn)["status"]
                if status["componentState"] == "DEPLOYABLE":
                    return
                if status["componentState"] == "FAILED":
                    why = status.get("errors") or status.get("message")
                    raise CloudError(f"{name}: the service refused it: {why}")
                await anyio.sleep(poll_s)
        raise CloudError(f"{name} is not deployable after {READY_TIMEOUT_S:g} s")


def _artifacts(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for manifest in recipe.get("Manifests", []) for one in manifest.get("Artifacts", [])]


def _file_name(artifact: Mapping[str, Any]) -> str:
    return str(artifact.get("Uri", "")).rsplit("/", 1)[-1]
