"""`bedrock:MODEL_ID[:options]` (a foundation model) and `imported:ARN[:options]` (a fine-tuned one), through the ladder.

Foundation models climb the general ladder by Bedrock's converse API, imported models the fine-tuned one with plain
prompts at temperature 0.5 and top_p 0.9, as in the AWS sample. `region=…` beside the ladder's own options.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import anyio
import anyio.to_thread

from edgechess_inference.bedrock_adapter import ARN, BedrockRuntime
from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.ladder.options import (
    LadderOptions,
    parse_options,
    refuse_inline,
    seat_on_ladder,
    split_settings,
)
from edgechess_inference.ladder.patience import patiently
from edgechess_inference.ladder.voice import Rung, Said, Voice
from edgechess_inference.player import Player, PlayerOptions
from edgechess_inference.prompts.prompt_set import load_prompts

TUNED_TEMPERATURE = 0.5  # both of them the sample's, for imported models
TUNED_TOP_P = 0.9
CLOSE_S = 2.0
REGION = {"region": "region=eu-central-1"}


class FoundationVoice:
    """A model that is asked through converse."""

    def __init__(self, runtime: BedrockRuntime, model: str, options: LadderOptions) -> None:
        self.name = model
        self._runtime = runtime
        self._options = options
        self._prompts = load_prompts(options.prompt)

    async def say(self, rung: Rung) -> Said:
        prompt, options = self._prompts.render(rung), self._options
        settings: dict[str, Any] = {"maxTokens": options.max_tokens, "temperature": options.temperature}
        if options.top_p < 1:
            settings["topP"] = options.top_p
        return Said(await patiently(lambda: self._runtime.converse(prompt.system, prompt.user, settings), rung))

    async def close(self) -> None:
        await _close(self._runtime)


class ImportedVoice:
    """A fine-tuned model that completes prompts."""

    def __init__(self, runtime: BedrockRuntime, arn: str, options: LadderOptions) -> None:
        self.name = arn.rpartition("/")[2]
        self._runtime = runtime
        self._options = options
        self._prompts = load_prompts(options.prompt)

    async def say(self, rung: Rung) -> Said:
        prompt, options = self._prompts.render(rung), self._options
        text = f"{prompt.system}\n\n{prompt.user}" if prompt.system else prompt.user
        return Said(
            await patiently(
                lambda: self._runtime.invoke(
                    text, max_tokens=options.max_tokens, temperature=options.temperature, top_p=options.top_p
                ),
                rung,
            )
        )

    async def close(self) -> None:
        await _close(self._runtime)


async def _close(runtime: BedrockRuntime) -> None:
    with anyio.move_on_after(CLOSE_S, shield=True):
        await runtime.close()


def parse_foundation(rest: str) -> tuple[str, str | None, LadderOptions]:
    """(model id, region, options). Raises PlayerWordError."""
    model, settings = split_settings(rest)
    if not model or any(letter.isspace() for letter in model):
        raise PlayerWordError(
            f"bedrock:{rest}: a model id is missing; for example bedrock:amazon.nova-pro-v1:0:region=us-east-1"
        )
    options, found = parse_options("bedrock", settings, tuned=False, more=REGION)
    arn = ARN.match(model)
    return model, found.get("region") or (arn["region"] if arn else None), options


def parse_imported(rest: str) -> tuple[str, str, LadderOptions]:
    """(ARN, its region, options). Raises PlayerWordError."""
    arn, settings = split_settings(rest)
    found = ARN.match(arn)
    if found is None:
        raise PlayerWordError(
            f"imported:{rest}: expected the ARN of an imported model,"
            " for example imported:arn:aws:bedrock:us-east-1:123456789012:imported-model/abc123"
        )
    options, _ = parse_options(
        "imported", settings, tuned=True, temperature=TUNED_TEMPERATURE, top_p=TUNED_TOP_P
    )  # fmt: skip
    return arn, found["region"], options


def check_foundation(rest: str) -> None:
    """Raises PlayerWordError."""
    parse_foundation(rest)
    _needs_boto3("bedrock")


def check_imported(rest: str) -> None:
    """Raises PlayerWordError."""
    parse_imported(rest)
    _needs_boto3("imported")


def _needs_boto3(name: str) -> None:
    if importlib.util.find_spec("boto3") is None:
        raise PlayerWordError(f"{name}: boto3 is not installed; install edgechess-inference[bedrock]")


async def open_foundation(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `bedrock`. Nothing is asked of AWS before the first question."""
    refuse_inline("bedrock", options)
    model, region, ladder = parse_foundation(rest)
    runtime = await anyio.to_thread.run_sync(BedrockRuntime, model, region)
    return await _seat(f"bedrock:{rest}", FoundationVoice(runtime, model, ladder), ladder, options)


async def open_imported(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `imported`."""
    refuse_inline("imported", options)
    arn, region, ladder = parse_imported(rest)
    runtime = await anyio.to_thread.run_sync(BedrockRuntime, arn, region)
    return await _seat(f"imported:{rest}", ImportedVoice(runtime, arn, ladder), ladder, options)


async def _seat(word: str, voice: Voice, ladder: LadderOptions, options: PlayerOptions) -> Player:
    try:
        return await seat_on_ladder(word, voice, ladder, options)
    except PlayerFailed:
        await voice.close()
        raise
