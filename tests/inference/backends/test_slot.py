"""Swaps while requests come in: whole answers, old or new, never both; failures that change nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import chess
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("torch")

from edgechess_inference.backends import loading  # noqa: E402
from edgechess_inference.backends.loading import LoadOptions, load_model  # noqa: E402
from edgechess_inference.backends.slot import ModelSlot, SlotSettings  # noqa: E402
from edgechess_inference.errors import InferenceError  # noqa: E402
from edgechess_inference.move_model import ModelError, ModelLate, ModelUnavailable, PositionRequest  # noqa: E402
from edgechess_inference.policy.architecture import Architecture  # noqa: E402
from edgechess_inference.policy.checkpoint import pack_policy  # noqa: E402
from edgechess_inference.weights.disk_adapter import DiskConnection, DiskSource  # noqa: E402
from edgechess_inference.weights.errors import SourceError  # noqa: E402
from edgechess_inference.weights.fetch_plan import Fault  # noqa: E402
from edgechess_inference.weights.identity import weights_digest  # noqa: E402
from edgechess_inference.weights.local_store import chunk_key  # noqa: E402
from edgechess_inference.weights.manifest import Manifest, parse  # noqa: E402
from edgechess_inference.weights.model import Model  # noqa: E402
from edgechess_inference.weights.source import FetchFailed  # noqa: E402

pytestmark = pytest.mark.anyio
START = chess.STARTING_FEN
TORCH = LoadOptions(backend="torch")
SEVERAL_CHUNKS = Architecture(trunk="residual", width=224, blocks=4, squeeze=4)  # 15 MB: two chunks


def shares(ranking: Any) -> dict[str, float]:
    return {chance.uci: chance.probability for chance in ranking.moves}


async def alone(address: Path) -> Any:
    async with load_model(str(address), TORCH) as model:
        [ranking] = await model.rank([PositionRequest(START)])
    return ranking


@pytest.fixture
def two(tmp_path: Path, networks: Any) -> tuple[Path, Path]:
    """A model and a fine-tune of the same shape."""
    for name, seed in (("one", 1), ("two", 2)):
        networks.pack(tmp_path / f"{name}.json", networks.architectures["residual"], seed=seed)
    return tmp_path / "one.json", tmp_path / "two.json"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_swap_while_answering_mixes_nothing_and_refuses_nobody(two: tuple[Path, Path]) -> None:
    expected = {ranking.weights: ranking for ranking in [await alone(address) for address in two]}
    found: list[Any] = []
    stop = anyio.Event()
    async with ModelSlot(TORCH) as slot:
        await slot.load(str(two[0]))

        async def ask() -> None:
            while not stop.is_set():
                found.append(await slot.rank(PositionRequest(START)))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask)
            for address in (two[1], two[0], two[1]):
                await anyio.sleep(0.01)
                described = await slot.load(str(address))
                assert (await slot.rank(PositionRequest(START))).weights == described.weights
            stop.set()
        assert slot.status().swaps == 3
    for ranking in found:
        assert shares(ranking) == pytest.approx(shares(expected[ranking.weights]), abs=1e-5)
    assert {ranking.weights for ranking in found} == set(expected)


async def test_the_way_back(two: tuple[Path, Path]) -> None:
    async with ModelSlot(TORCH) as slot:
        first = await slot.load(str(two[0]))
        with pytest.raises(ModelError, match="nothing to go back to"):
            await slot.rollback()
        await slot.load(str(two[1]))
        assert (await slot.rollback()).weights == first.weights
        assert (await slot.rank(PositionRequest(START))).weights == first.weights
        assert (await slot.rollback()).name == "two"


async def test_a_swap_that_fails_leaves_the_old_model_serving(two: tuple[Path, Path], tmp_path: Path) -> None:
    async with ModelSlot(TORCH) as slot:
        first = await slot.load(str(two[0]))
        manifest = parse(two[1].read_bytes())
        for chunk in manifest.shards[0].chunks:
            (tmp_path / chunk_key(chunk.address)).unlink()
        with pytest.raises(SourceError):
            await slot.load(str(two[1]))
        with pytest.raises(SourceError):
            await slot.load(str(tmp_path / "absent.json"))
        status = slot.status()
        assert status.state == "serving"
        assert status.serving == first
        assert status.problem is not None
        assert "does not exist" in status.problem
        assert (await slot.rank(PositionRequest(START))).weights == first.weights


async def test_weights_that_compute_no_numbers_never_serve(
    two: tuple[Path, Path], tmp_path: Path, networks: Any
) -> None:
    a = networks.architectures["residual"]
    weights = networks.weights(a, 3)
    weights["norm.weight"][:] = np.nan
    pack_policy(tmp_path / "broken.json", a, weights)
    async with ModelSlot(TORCH) as slot:
        first = await slot.load(str(two[0]))
        with pytest.raises(ModelError, match="computes no numbers"):
            await slot.load(str(tmp_path / "broken.json"))
        assert (await slot.rank(PositionRequest(START))).weights == first.weights


async def test_only_changed_chunks_are_fetched(tmp_path: Path, networks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = networks.weights(SEVERAL_CHUNKS, 1)
    pack_policy(tmp_path / "one.json", SEVERAL_CHUNKS, weights)
    weights["value_head.outlook.bias"] = weights["value_head.outlook.bias"] + 1
    manifest = pack_policy(tmp_path / "two.json", SEVERAL_CHUNKS, weights)
    fetched: list[str] = []
    fetch = DiskConnection.fetch

    def counted(self: DiskConnection, key: str, into: memoryview, start: int = 0) -> None:
        fetched.append(key)
        fetch(self, key, into, start)

    monkeypatch.setattr(DiskConnection, "fetch", counted)
    async with ModelSlot(TORCH) as slot:
        await slot.load(str(tmp_path / "one.json"))
        assert len(fetched) == len(manifest.shards[0].chunks) >= 2
        fetched.clear()
        await slot.load(str(tmp_path / "two.json"))
        assert fetched == [chunk_key(manifest.shards[0].chunks[-1].address)]
        assert (await slot.rank(PositionRequest(START))).weights == weights_digest(manifest)


async def test_where_two_do_not_fit_the_slot_says_so_and_comes_back(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    async with ModelSlot(TORCH, settings=SlotSettings(memory_bytes=100_000)) as slot:
        await slot.load(str(two[0]))
        entered = loading.open_stream

        def seen(*args: Any, **rest: Any) -> Any:
            refused.append(slot.status().state)
            with pytest.raises(ModelUnavailable, match="no memory for two models"):
                slot.describe()
            return entered(*args, **rest)

        monkeypatch.setattr(loading, "open_stream", seen)
        slot._settings = SlotSettings(memory_bytes=60_000)
        second = await slot.load(str(two[1]))
        assert refused == ["loading"]
        assert (await slot.rank(PositionRequest(START))).weights == second.weights
        monkeypatch.setattr(loading, "open_stream", entered)
        for chunk in parse(two[0].read_bytes()).shards[0].chunks:
            (tmp_path / chunk_key(chunk.address)).unlink()
        with pytest.raises(SourceError):
            await slot.load(str(two[0]))
        assert (await slot.rank(PositionRequest(START))).weights == second.weights


async def test_a_failed_exchange_without_room_for_two_leaves_the_way_back_as_it_was(
    two: tuple[Path, Path], tmp_path: Path, networks: Any
) -> None:
    networks.pack(tmp_path / "three.json", networks.architectures["residual"], seed=3)
    for chunk in parse((tmp_path / "three.json").read_bytes()).shards[0].chunks:
        (tmp_path / chunk_key(chunk.address)).unlink()
    async with ModelSlot(TORCH, settings=SlotSettings(memory_bytes=1)) as slot:
        first = await slot.load(str(two[0]))
        second = await slot.load(str(two[1]))
        with pytest.raises(SourceError):
            await slot.load(str(tmp_path / "three.json"))
        assert slot.describe().weights == second.weights
        assert (await slot.rollback()).weights == first.weights


async def test_one_bad_request_spoils_no_other_of_its_batch(two: tuple[Path, Path]) -> None:
    outcomes: list[Any] = []
    async with ModelSlot(TORCH) as slot:
        await slot.load(str(two[0]))

        async def ask(fen: str) -> None:
            try:
                outcomes.append((await slot.rank(PositionRequest(fen))).moves[0].uci)
            except InferenceError as error:
                outcomes.append(str(error))

        async with anyio.create_task_group() as tasks:
            for fen in (START, "nonsense", START):
                tasks.start_soon(ask, fen)
    assert len({text for text in outcomes if "no position" in text}) == 1
    assert len([text for text in outcomes if len(text) == 4]) == 2


async def test_nobody_is_answered_before_a_model_is_loaded_or_after(two: tuple[Path, Path]) -> None:
    async with ModelSlot(TORCH) as slot:
        with pytest.raises(ModelUnavailable, match="no model is loaded"):
            await slot.rank(PositionRequest(START))
        await slot.load(str(two[0]))
        await slot.unload()
        assert slot.status().state == "empty"
        with pytest.raises(ModelUnavailable, match="no model is loaded"):
            await slot.rank(PositionRequest(START))


# ---------------------------------------------------------------- weights on their way


class HeldSource:
    """A store on disk whose last chunk comes only when it is let go."""

    def __init__(self, folder: Path, held: str) -> None:
        self.name = "held"
        self.let_go = threading.Event()
        self._disk, self._held = DiskSource(folder), held

    def connect(self) -> Any:
        return HeldConnection(self._disk.connect(), self._held, self.let_go)

    def discard(self, key: str) -> None:
        """Nothing is kept."""


class HeldConnection:
    def __init__(self, connection: DiskConnection, held: str, let_go: threading.Event) -> None:
        self._connection, self._held, self._let_go = connection, held, let_go
        self._interrupted = threading.Event()

    def fetch(self, key: str, into: memoryview, start: int = 0) -> None:
        while key == self._held and not self._let_go.wait(0.002):
            if self._interrupted.is_set():
                raise FetchFailed(Fault.CANCELLED, "interrupted")
        self._connection.fetch(key, into, start)

    def read(self, key: str) -> bytes:
        return self._connection.read(key)

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self._connection.close()


def held(folder: Path, manifest: Manifest) -> tuple[Model, HeldSource]:
    source = HeldSource(folder, chunk_key(manifest.shards[0].chunks[-1].address))
    return Model(manifest, (source,)), source


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_first_layers_compute_before_the_last_chunk_has_come(tmp_path: Path, networks: Any) -> None:
    manifest = networks.pack(tmp_path / "n.json", SEVERAL_CHUNKS, seed=1)
    expected = await alone(tmp_path / "n.json")
    model, source = held(tmp_path, manifest)
    computed, answers = threading.Event(), []
    async with load_model(model, TORCH) as loaded:
        network = loaded._backend._network  # type: ignore[attr-defined]
        network.blocks[0].register_forward_hook(lambda *_: computed.set())

        async def ask() -> None:
            answers.extend(await loaded.rank([PositionRequest(START)]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            assert await anyio.to_thread.run_sync(computed.wait, 20.0)
            assert answers == []
            source.let_go.set()
        await loaded.ready()
    assert shares(answers[0]) == pytest.approx(shares(expected), abs=1e-6)


async def test_a_language_model_s_first_layers_compute_before_the_last_chunk_has_come(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    from edgechess_inference.weights.manifest import Card
    from edgechess_inference.weights.packing import pack

    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=512, intermediate_size=1024, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(1)
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "hf")
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(32)}, unk_token="w0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path / "hf")
    card = Card(name="llama", architecture="LlamaForCausalLM", licence="MIT")
    manifest = pack(tmp_path / "hf", tmp_path / "llama.json", card).manifest
    assert len(manifest.shards[0].chunks) >= 2
    files = {chunk.address for file in manifest.files for chunk in file.chunks}
    assert manifest.shards[0].chunks[-1].address not in files
    model, source = held(tmp_path, manifest)
    ids, computed, found = torch.tensor([[1, 2, 3]]), threading.Event(), []
    async with load_model(model, TORCH) as loaded:
        network = loaded._backend.network  # type: ignore[attr-defined]
        network.model.layers[0].register_forward_hook(lambda *_: computed.set())

        def forward(stop: Any) -> None:
            with torch.inference_mode():
                found.append(network(ids).logits)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loaded._compute.run, forward)  # type: ignore[attr-defined]
            assert await anyio.to_thread.run_sync(computed.wait, 20.0)
            assert found == []
            source.let_go.set()
    with torch.inference_mode():
        assert torch.equal(found[0], theirs(ids).logits)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_stalled_stream_makes_requests_late_and_closing_ends_all(
    tmp_path: Path, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = networks.pack(tmp_path / "n.json", SEVERAL_CHUNKS, seed=1)
    model, _ = held(tmp_path, manifest)

    async def opened(address: str, options: LoadOptions) -> Model:
        return model

    monkeypatch.setattr("edgechess_inference.backends.slot.opened_model", opened)
    with anyio.fail_after(20):
        async with ModelSlot(TORCH) as slot, anyio.create_task_group() as tasks:
            tasks.start_soon(slot.load, str(tmp_path / "n.json"))
            while slot.status().serving is None:  # noqa: ASYNC110 — a status is looked at, as others do
                await anyio.sleep(0.002)
            assert slot.status().state == "loading"
            for _ in range(2):
                with pytest.raises(ModelLate):
                    await slot.rank(PositionRequest(START, deadline=anyio.current_time() + 0.05))
            tasks.cancel_scope.cancel()
