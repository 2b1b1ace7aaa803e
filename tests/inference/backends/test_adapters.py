"""Adapters while a model serves: right answers, bounded tiers, updates that disturb nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import chess
import pytest

np = pytest.importorskip("numpy")

from edgechess_inference.adapters.lora import pack_adapter, read_adapter  # noqa: E402
from edgechess_inference.adapters.table import AdapterLimits, AdapterTable  # noqa: E402
from edgechess_inference.backends.loading import LoadOptions, load_model  # noqa: E402
from edgechess_inference.backends.slot import ModelSlot  # noqa: E402
from edgechess_inference.move_model import AdapterError, ModelError, PositionRequest  # noqa: E402
from edgechess_inference.policy.architecture import Architecture, adaptable  # noqa: E402
from edgechess_inference.policy.checkpoint import pack_policy  # noqa: E402
from edgechess_inference.weights.errors import ManifestError  # noqa: E402
from edgechess_inference.weights.manifest import parse  # noqa: E402

pytestmark = pytest.mark.anyio
START = chess.STARTING_FEN


def backend_or_skip(backend: str) -> LoadOptions:
    pytest.importorskip("torch" if backend == "torch" else "onnx")
    pytest.importorskip("torch" if backend == "torch" else "onnxruntime")
    return LoadOptions(backend=backend, threads=1)  # type: ignore[arg-type]


def shares(ranking: Any) -> dict[str, float]:
    return {chance.uci: chance.probability for chance in ranking.moves}


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
@pytest.mark.parametrize("kind", ["residual", "encoder"])
async def test_one_batch_mixes_adapters_and_each_answers_as_if_it_were_merged(
    kind: str, backend: str, tmp_path: Path, networks: Any
) -> None:
    options, a = backend_or_skip(backend), networks.architectures[kind]
    base = networks.pack(tmp_path / "base.json", a, seed=1)
    layers = adaptable(a)
    table = AdapterTable()
    for name, chosen in {"all": layers, "two": layers[:2]}.items():
        networks.adapter(tmp_path / f"{name}.json", a, base, chosen, seed=9)
        await table.register(name, str(tmp_path / f"{name}.json"))
        pack_policy(tmp_path / f"{name}-merged.json", a, networks.merged(a, 1, chosen, 9))
    expected = {}
    for name, address in {None: "base", "all": "all-merged", "two": "two-merged"}.items():
        async with load_model(str(tmp_path / f"{address}.json"), options) as model:
            [expected[name]] = await model.rank([PositionRequest(START)])
    async with load_model(str(tmp_path / "base.json"), options, adapters=table) as model:
        names = ["two", None, "all", "two", None]
        found = await model.rank([PositionRequest(START, adapter=name) for name in names])
    for name, ranking in zip(names, found, strict=True):
        assert ranking.adapter == name
        assert shares(ranking) == pytest.approx(shares(expected[name]), abs=2e-4)
        assert (ranking.adapter_weights is None) == (name is None)
    assert len({round(chance, 4) for chance in (found[0].moves[0].probability, found[1].moves[0].probability)}) == 2
    assert table.info("two").counts.requests == 2
    assert table.device_bytes == 0  # the model that they were prepared for is closed


def cycling(folder: Path, networks: Any, count: int) -> tuple[Architecture, list[str]]:
    a = networks.architectures["residual"]
    base = networks.pack(folder / "base.json", a, seed=1)
    names = [f"style-{number}" for number in range(count)]
    for number, name in enumerate(names):
        networks.adapter(folder / f"{name}.json", a, base, ("policy_head.query",), seed=number)
    return a, names


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.slow)])
async def test_many_adapters_cycle_through_room_for_eight(count: int, tmp_path: Path, networks: Any) -> None:
    options = backend_or_skip("onnxruntime")
    a, names = cycling(tmp_path, networks, count)
    table = AdapterTable(AdapterLimits(device_adapters=8, host_adapters=16), cache=tmp_path / "cache")
    for name in names:
        await table.register(name, str(tmp_path / f"{name}.json"))
    answers: dict[str, Any] = {}
    async with ModelSlot(options, adapters=table) as slot:
        await slot.load(str(tmp_path / "base.json"))

        async def ask(name: str) -> None:
            answers[name] = await slot.rank(PositionRequest(START, adapter=name))
            assert len(table._tiers.device) <= 8
            assert len(table._tiers.host) <= 16

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(ask, name)
        assert table.device_peak == 8
        for number in (0, count // 2, count - 1):
            merged = networks.merged(a, 1, ("policy_head.query",), number)
            pack_policy(tmp_path / f"merged-{number}.json", a, merged)
            async with load_model(str(tmp_path / f"merged-{number}.json"), options) as model:
                [expected] = await model.rank([PositionRequest(START)])
            assert shares(answers[names[number]]) == pytest.approx(shares(expected), abs=2e-4)
    counts = [info.counts for info in table.list()]
    assert all(one.requests == 1 and one.loads >= 1 and one.load_max_s > 0 for one in counts)
    assert sum(one.evictions for one in counts) >= count - 8
    assert all(one.legal + one.illegal == 1 for one in counts)
    assert len({answer.adapter_weights for answer in answers.values()}) == count


async def test_an_update_or_a_removal_never_touches_what_is_in_flight(tmp_path: Path, networks: Any) -> None:
    options = backend_or_skip("torch")
    a = networks.architectures["residual"]
    base = networks.pack(tmp_path / "base.json", a, seed=1)
    layers = ("blocks.0.conv1", "blocks.1.conv2", "policy_head.key")
    expected = {}
    table = AdapterTable()
    for seed in (1, 2):
        manifest = networks.adapter(tmp_path / f"v{seed}.json", a, base, layers, seed=seed)
        pack_policy(tmp_path / f"merged-{seed}.json", a, networks.merged(a, 1, layers, seed))
        async with load_model(str(tmp_path / f"merged-{seed}.json"), options) as model:
            [expected[read_adapter(manifest).digest]] = await model.rank([PositionRequest(START)])
    await table.register("style", str(tmp_path / "v1.json"))
    found: list[Any] = []
    async with ModelSlot(options, adapters=table) as slot:
        await slot.load(str(tmp_path / "base.json"))

        async def ask() -> None:
            request = PositionRequest(START, adapter="style")
            found.extend([await slot.rank(request) for _ in range(15)])

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
            for number in range(6):
                await anyio.sleep(0.003)
                await table.update("style", str(tmp_path / f"v{1 + number % 2}.json"))
        for ranking in found:
            assert shares(ranking) == pytest.approx(shares(expected[ranking.adapter_weights]), abs=2e-4)
        assert {ranking.adapter_weights for ranking in found} == set(expected)
        assert len(table._tiers.device) == 1
        table.remove("style")
        assert table.device_bytes == 0
        assert table.host_bytes == 0
        with pytest.raises(AdapterError, match="no adapter 'style'"):
            await slot.rank(PositionRequest(START, adapter="style"))


async def test_one_bad_adapter_is_its_own_requests_affair_only(tmp_path: Path, networks: Any) -> None:
    options = backend_or_skip("onnxruntime")
    a = networks.architectures["residual"]
    base = networks.pack(tmp_path / "base.json", a, seed=1)
    other = networks.pack(tmp_path / "other.json", a, seed=2)
    networks.adapter(tmp_path / "good.json", a, base, ("policy_head.key",), seed=1)
    networks.adapter(tmp_path / "foreign.json", a, other, ("policy_head.key",), seed=1)
    gone = networks.adapter(tmp_path / "gone.json", a, base, ("policy_head.key",), seed=3)
    table = AdapterTable()
    for name in ("good", "foreign", "gone"):
        await table.register(name, str(tmp_path / f"{name}.json"))
    for chunk in gone.shards[0].chunks:
        (tmp_path / "chunks" / chunk.address[:2] / chunk.address).unlink()
    outcomes: dict[str, Any] = {}
    async with ModelSlot(options, adapters=table) as slot:
        await slot.load(str(tmp_path / "base.json"))

        async def ask(name: str) -> None:
            try:
                outcomes[name] = await slot.rank(PositionRequest(START, adapter=name))
            except ModelError as error:
                outcomes[name] = str(error)

        async with anyio.create_task_group() as tasks:
            for name in ("good", "foreign", "gone", "unknown"):
                tasks.start_soon(ask, name)
    assert outcomes["good"].adapter == "good"
    assert "was made for weights" in outcomes["foreign"]
    assert "cannot be loaded" in outcomes["gone"]
    assert "no adapter 'unknown'" in outcomes["unknown"]


async def test_a_batch_waits_for_room_that_others_hold(tmp_path: Path, networks: Any) -> None:
    options = backend_or_skip("onnxruntime")
    _, names = cycling(tmp_path, networks, 3)
    table = AdapterTable(AdapterLimits(device_adapters=2))
    for name in names:
        await table.register(name, str(tmp_path / f"{name}.json"))
    seen: list[str] = []
    async with load_model(str(tmp_path / "base.json"), options, adapters=table) as model:

        async def third() -> None:
            async with table.lend([names[2]], model):  # type: ignore[arg-type]
                seen.append("third")

        async with anyio.create_task_group() as tasks:
            async with table.lend(names[:2], model):  # type: ignore[arg-type]
                tasks.start_soon(third)
                await anyio.wait_all_tasks_blocked()
                assert seen == []
            seen.append("first two")
    assert seen == ["first two", "third"]


async def test_names_are_taken_once_and_known(tmp_path: Path, networks: Any) -> None:
    _, names = cycling(tmp_path, networks, 1)
    table, address = AdapterTable(), str(tmp_path / f"{names[0]}.json")
    info = await table.register("a", address)
    assert (info.rank, info.alpha, info.tier, info.layers) == (2, 1.0, "disk", 1)
    await table.warm("a")
    assert table.info("a").tier == "host"
    with pytest.raises(AdapterError, match="already"):
        await table.register("a", address)
    with pytest.raises(AdapterError, match="there are a"):
        await table.update("b", address)
    with pytest.raises(ManifestError, match="not an adapter"):
        await table.update("a", str(tmp_path / "base.json"))
    assert [info.name for info in table.list()] == ["a"]


@pytest.mark.parametrize(
    ("config", "tensors", "named"),
    [
        ({"use_dora": True}, {}, "use_dora"),
        ({"bias": "all"}, {}, "bias"),
        ({"lora_alpha": "much"}, {}, "lora_alpha"),
        ({"lora_alpha": -1}, {}, "positive"),
        ({}, {"policy_head.key.lora_magnitude_vector": (3,)}, "only plain LoRA"),
        ({}, {"strange.lora_A.weight": (2, 12), "strange.lora_B.weight": (8, 2)}, "another base model"),
        ({}, {"policy_head.query.lora_A.weight": (2, 12)}, "only one of its two"),
        ({}, {"policy_head.query.lora_A.weight": (2, 12), "policy_head.query.lora_B.weight": (8, 3)}, "no product"),
    ],
)
async def test_what_is_no_plain_adapter_is_refused_when_it_is_packed(
    config: dict[str, Any], tensors: dict[str, tuple[int, ...]], named: str, tmp_path: Path, networks: Any
) -> None:
    a = networks.architectures["residual"]
    base = networks.pack(tmp_path / "base.json", a, seed=1)
    factors = networks.factors(a, ("policy_head.key",), 1) | {
        name: np.zeros(shape, np.float32) for name, shape in tensors.items()
    }
    networks.folder(tmp_path / "peft", factors, **config)
    with pytest.raises(ManifestError, match=named):
        pack_adapter(tmp_path / "peft", tmp_path / "a.json", [base])
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
async def test_factors_of_another_shape_are_refused_by_layer(backend: str, tmp_path: Path, networks: Any) -> None:
    options, a = backend_or_skip(backend), networks.architectures["residual"]
    base = networks.pack(tmp_path / "base.json", a, seed=1)
    factors = {
        "policy_head.key.lora_A.weight": np.zeros((2, 5), np.float32),
        "policy_head.key.lora_B.weight": np.zeros((8, 2), np.float32),
    }
    networks.folder(tmp_path / "peft", factors)
    pack_adapter(tmp_path / "peft", tmp_path / "a.json", [base])
    table = AdapterTable()
    await table.register("a", str(tmp_path / "a.json"))
    async with load_model(str(tmp_path / "base.json"), options, adapters=table) as model:
        with pytest.raises(AdapterError, match="takes 12 to 8, not 5 to 8"):
            await model.rank([PositionRequest(START, adapter="a")])
        [ranking] = await model.rank([PositionRequest(START)])
        assert ranking.moves


def test_root_scaling_is_told_apart(tmp_path: Path, networks: Any) -> None:
    a = networks.architectures["residual"]
    base = networks.pack(tmp_path / "base.json", a, seed=1)
    networks.folder(tmp_path / "peft", networks.factors(a, ("policy_head.key",), 1, rank=4), use_rslora=True)
    pack_adapter(tmp_path / "peft", tmp_path / "a.json", [base])
    adapter = read_adapter(parse((tmp_path / "a.json").read_bytes()))
    assert adapter.targets[0].scaling == 0.5  # 1 / sqrt(4)


def virtual() -> Any:
    import trio.testing

    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


@pytest.mark.parametrize("anyio_backend", [pytest.param(virtual(), id="virtual")])
async def test_in_virtual_time_nothing_waits_outside_the_scheduler(
    anyio_backend: Any, tmp_path: Path, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any thread would let the clock jump to the deadline below, and would be one too many."""
    backend_or_skip("onnxruntime")
    _, names = cycling(tmp_path, networks, 3)

    async def no_thread(*_: Any, **__: Any) -> None:
        raise AssertionError("a thread in virtual time")

    monkeypatch.setattr("anyio.to_thread.run_sync", no_thread)
    table = AdapterTable(AdapterLimits(device_adapters=1), inline=True)
    for name in names:
        await table.register(name, str(tmp_path / f"{name}.json"))
    with anyio.fail_after(1):
        async with ModelSlot(LoadOptions(inline=True), adapters=table) as slot:
            await slot.load(str(tmp_path / "base.json"))
            for name in (*names, None):
                ranking = await slot.rank(PositionRequest(START, adapter=name, deadline=anyio.current_time() + 1))
                assert ranking.latency_s == 0
            await slot.load(str(tmp_path / "base.json"))
