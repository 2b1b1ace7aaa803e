"""Adapters of a node by control: added, updated, listed in pages, removed, and chosen by the word of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chess
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

from edgechess_inference.adapters.lora import pack_adapter  # noqa: E402
from edgechess_inference.policy.architecture import Architecture, weights_of  # noqa: E402
from edgechess_inference.policy.checkpoint import pack_policy  # noqa: E402
from edgechess_inference.weights.manifest import Manifest  # noqa: E402
from edgechess_inference.weights.safetensors_file import header_bytes  # noqa: E402

pytestmark = pytest.mark.anyio

SHAPE = Architecture(trunk="residual", width=8, blocks=1)
LAYER = "blocks.0.conv1"


def packed_base(path: Path, seed: int = 1) -> Manifest:
    draw = np.random.default_rng(seed)
    weights = {key: (0.4 * draw.standard_normal(size)).astype(np.float32) for key, size in weights_of(SHAPE).items()}
    return pack_policy(path, SHAPE, weights)


def packed_adapter(path: Path, base: Manifest, seed: int) -> str:
    """As peft saves it, then packed."""
    draw = np.random.default_rng(seed)
    out, inward = weights_of(SHAPE)[f"{LAYER}.weight"]
    factors = {
        f"base_model.model.{LAYER}.lora_A.weight": draw.normal(size=(2, inward)).astype(np.float32),
        f"base_model.model.{LAYER}.lora_B.weight": 5 * draw.normal(size=(out, 2)).astype(np.float32),
    }
    folder = path.with_suffix(".peft")
    folder.mkdir()
    header = header_bytes([(name, "F32", array.shape) for name, array in factors.items()], {})
    data = b"".join(array.astype(np.float32).tobytes() for array in factors.values())
    (folder / "adapter_model.safetensors").write_bytes(header + data)
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 1.0, "r": 2}))
    pack_adapter(folder, path, [base])
    return str(path)


@pytest.fixture
def base(tmp_path: Path) -> Manifest:
    return packed_base(tmp_path / "base.json")


async def serving(asker: Any) -> None:
    await asker.until(lambda: asker.statuses and any(model.state == "serving" for model in asker.statuses[-1].models))


async def test_an_adapter_comes_changes_and_goes_while_the_node_serves(
    rig: Any, base: Manifest, tmp_path: Path
) -> None:
    one, two = (packed_adapter(tmp_path / f"{name}.json", base, seed) for name, seed in (("one", 1), ("two", 2)))
    async with rig.node(models=(str(tmp_path / "base.json"),)) as asker:
        await serving(asker)
        plain = await asker.ask("a", "model:base")
        assert (await asker.command("c1", "adapter-add", adapter="karpov", source=one)).status == 200
        with_one = await asker.ask("b", "model:base@karpov")
        assert (with_one.fallback, with_one.adapter, with_one.weights) == (False, "karpov", plain.weights)
        assert (await asker.command("c2", "adapter-update", adapter="karpov", source=two)).status == 200
        await asker.ask("c", "model:base@karpov")
        listed = await asker.command("c3", "list")
        [state] = listed.adapters
        assert (state.adapter, state.source, state.tier, state.requests, state.loads) == ("karpov", two, "device", 2, 2)
        assert state.legal + state.illegal == 2
    async with rig.node(models=(str(tmp_path / "base.json"),)) as asker:
        await serving(asker)
        assert (await asker.ask("d", "model:base@karpov")).fallback is False  # it was remembered
        assert (await asker.command("c4", "adapter-remove", adapter="karpov")).status == 200
        gone = await asker.ask("e", "model:base@karpov")
        assert (gone.status, gone.fallback, gone.attempts[0].failure) == (200, True, "refused")
        assert "there is no adapter 'karpov'" in (gone.attempts[0].error or "")


async def test_an_adapter_that_cannot_be_had_keeps_nobody_waiting_and_is_brought_when_it_can(
    rig: Any, base: Manifest, tmp_path: Path
) -> None:
    one = packed_adapter(tmp_path / "one.json", base, 1)
    late, gone = tmp_path / "late.json", tmp_path / "gone.json"
    adapters = (f"late={late}", f"gone={gone}", f"karpov={one}")
    async with rig.node(models=(str(tmp_path / "base.json"),), adapters=adapters) as asker:
        await serving(asker)
        assert (await asker.ask("a", "model:base@karpov")).fallback is False
        assert (await asker.ask("b", "model:base@late")).fallback is True
        await asker.until(lambda: asker.health[-1].status == "degraded")
        assert str(late) in (asker.health[-1].reason or "")
        packed_adapter(late, base, 2)
        assert (await asker.command("c", "adapter-add", adapter="gone", source=one)).status == 200
        await asker.until(lambda: asker.health[-1].status == "ready")
        assert (await asker.ask("d", "model:base@late")).fallback is False
        assert (await asker.command("e", "adapter-remove", adapter="gone")).status == 200


async def test_an_adapter_for_other_weights_leaves_the_move_to_the_engine(
    rig: Any, base: Manifest, tmp_path: Path
) -> None:
    packed_base(tmp_path / "other.json", seed=2)
    one = packed_adapter(tmp_path / "one.json", base, 1)
    async with rig.node(models=(str(tmp_path / "other.json"),), adapters=(f"karpov={one}",)) as asker:
        await serving(asker)
        answer = await asker.ask("a", "model:other@karpov")
        assert (answer.fallback, answer.attempts[0].failure) == (True, "refused")
        assert "was made for weights" in (answer.attempts[0].error or "")
        assert chess.Move.from_uci(answer.lan or "") in chess.Board().legal_moves


@pytest.mark.parametrize(
    ("count", "device", "host"), [(40, 2, 4), pytest.param(200, 8, 16, marks=pytest.mark.slow)]
)  # fmt: skip
async def test_many_adapters_cycle_through_little_room_and_are_listed_in_pages(
    rig: Any, base: Manifest, tmp_path: Path, count: int, device: int, host: int
) -> None:
    names = [f"adapter-{number:03}" for number in range(count)]
    adapters = tuple(
        f"{name}={packed_adapter(tmp_path / f'{name}.json', base, seed)}" for seed, name in enumerate(names)
    )
    async with rig.node(
        models=(str(tmp_path / "base.json"),),
        adapters=adapters,
        device_adapters=device,
        host_adapters=host,
        requests=1000,
    ) as asker:
        await serving(asker)
        alone = {name: (await asker.ask(f"alone-{name}", f"model:base@{name}")).lan for name in names}
        for turn in range(2):
            for name in names:
                await asker.send(f"{turn}-{name}", f"model:base@{name}")
        await asker.until(lambda: len(asker.responses) == 3 * len(names))
        for response in asker.responses[len(names) :]:
            assert (response.fallback, response.adapter) == (False, response.request_id.partition("-")[2])
            assert response.lan == alone[response.adapter]
        pages: list[Any] = []
        after = ""
        while not pages or pages[-1].more:
            pages.append(await asker.command(f"page-{len(pages)}", "list", after=after))
            after = pages[-1].adapters[-1].adapter
        assert len(pages) > 1
        states = [state for page in pages for state in page.adapters]
        assert [state.adapter for state in states] == names
        assert all(state.requests == 3 for state in states)
        assert all(state.loads > 1 for state in states)  # each was driven out, and came back
        assert 0 < sum(state.tier == "device" for state in states) <= device
        assert sum(state.tier != "disk" for state in states) <= device + host
        assert len(set(alone.values())) > 3  # adapters that change nothing would prove nothing
