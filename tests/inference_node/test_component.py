"""The node on the memory bus, under virtual time, with tiny policy networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import chess
import pytest

from edgechess_kit.messages import InferenceControl, InferenceResponse, InferenceStatus

pytestmark = pytest.mark.anyio

MATE = "rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3"


def legal(response: InferenceResponse, fen: str = chess.STARTING_FEN) -> bool:
    return response.lan is not None and chess.Move.from_uci(response.lan) in chess.Board(fen).legal_moves


# ---------------------------------------------------------------- one answer per question


async def test_the_same_request_gets_the_same_answer_also_from_another_life(rig: Any) -> None:
    async with rig.node() as asker:
        first = await asker.ask("a", "random")
        assert await asker.ask("a", "random") == first
        assert legal(first)
    async with rig.node(seed=99) as asker:
        assert await asker.ask("a", "random") == first
        assert (await asker.ask("a", "builtin")).reason == "`requestId` was used for another question"


@pytest.mark.usefixtures("scripted")
async def test_a_request_that_comes_twice_while_it_is_in_work_is_answered_once(rig: Any) -> None:
    async with rig.node() as asker:
        late = "rnbqkbnr/pppp1ppp/4p3/8/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 3"  # the scripted model never answers here
        for _ in range(3):
            await asker.send("a", "model:scripted", fen=late)
        await asker.until(lambda: asker.responses)
        await anyio.sleep(20)
        [response] = asker.responses
        assert (response.status, response.fallback, response.by) == (200, True, "builtin")
        assert response.took_s is not None
        assert response.took_s <= 10.0


@pytest.mark.usefixtures("scripted")
async def test_more_than_its_limit_is_refused_and_may_be_asked_again(rig: Any) -> None:
    late = "rnbqkbnr/pppp1ppp/4p3/8/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 3"
    async with rig.node(requests=3) as asker:
        for number in range(5):
            await asker.send(f"r{number}", "model:scripted", fen=late)
        await asker.until(lambda: len(asker.responses) == 5)
        statuses = {response.request_id: response.status for response in asker.responses}
        assert sorted(statuses.values()) == [200, 200, 200, 503, 503]
        assert (await asker.ask("r4", "random")).status == 200


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"fen": "8/8/8/8/8/8/8/8 w - - 0 1"}, "no position that can arise"),
        ({"fen": "this is no position"}, "`fen`"),
        ({"fen": MATE}, "the game is over"),
        ({"moves": ("e2e4",), "start_fen": chess.STARTING_FEN}, "`moves` lead to"),
        ({"moves": ("e2e5",), "start_fen": chess.STARTING_FEN}, "illegal"),
        ({"timeout_s": 0.0}, "at least 0.05 s"),
        ({"player": "model:none"}, "no model 'none'; it has edgechess"),
        ({"player": "model:/etc/passwd.json"}, "no model"),
        ({"player": "pgn:/etc/passwd"}, "plays at a table"),
        ({"player": "human"}, "plays at a table"),
        ({"player": "openai:http://10.0.0.1/v1#m"}, "setting `players` does not allow it"),
        ({"player": "nobody"}, "does not allow it"),
        ({"player": "stockfish:elo=1"}, "stockfish"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_a_reason(rig: Any, more: dict[str, Any], text: str) -> None:
    async with rig.node() as asker:
        response = await asker.ask("a", **{"player": "random", **more})
        assert response.status == 400
        assert text in (response.reason or "")


async def test_a_message_that_cannot_be_read_is_answered_where_its_id_can(rig: Any) -> None:
    async with rig.node() as asker:
        topic = asker.topics.inference_request
        for payload in (b'{"requestId": "bad", "player": 7}', b"\xff\xff", b"[]", b'{"requestId":"' + b"x" * 9000):
            await _raw(asker, topic.name, payload)
        await asker.until(lambda: asker.responses)
        assert (asker.responses[0].request_id, asker.responses[0].status) == ("bad", 400)
        assert "player" in (asker.responses[0].reason or "")
        assert (await asker.ask("good", "random")).status == 200


async def _raw(asker: Any, topic: str, payload: bytes) -> None:
    class Raw:
        name = topic
        retain = False

        def encode(self, message: bytes) -> bytes:
            return message

    await asker.bus.publish(Raw(), payload)


# ---------------------------------------------------------------- models


@pytest.fixture
def stores(tmp_path: Path) -> Callable[[str, int], str]:
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnxruntime")
    from edgechess_inference.policy.architecture import Architecture, weights_of
    from edgechess_inference.policy.checkpoint import pack_policy

    def make(name: str, seed: int) -> str:
        shape = Architecture(trunk="residual", width=8, blocks=1)
        draw = np.random.default_rng(seed)
        weights = {
            key: (0.1 * draw.standard_normal(size)).astype(np.float32) for key, size in weights_of(shape).items()
        }
        pack_policy(tmp_path / f"{name}.json", shape, weights)
        return str(tmp_path / f"{name}.json")

    return make


async def until_serving(asker: Any, name: str) -> InferenceStatus:
    def found() -> InferenceStatus | None:
        return next(
            (s for s in reversed(asker.statuses) if any((m.model, m.state) == (name, "serving") for m in s.models)),
            None,
        )

    await asker.until(found)
    status = found()
    assert status is not None
    return status


async def test_a_model_serves_swaps_rolls_back_and_every_answer_names_its_weights(rig: Any, stores: Any) -> None:
    one, two = stores("one", 1), stores("two", 2)
    async with rig.node(models=(f"chess={one}",)) as asker:
        first = (await until_serving(asker, "chess")).models[0].weights
        before = await asker.ask("a", "model:chess")
        assert (before.by, before.fallback, before.weights) == ("chess", False, first)
        swapped = await asker.command("s", "swap", model="chess", source=two)
        assert swapped.status == 200
        second = swapped.models[0].weights
        assert second != first
        assert (await asker.ask("b", "model:chess")).weights == second
        assert await asker.command("s", "swap", model="chess", source=two) == swapped
        back = await asker.command("r", "rollback", model="chess")
        assert (back.status, back.models[0].weights, back.models[0].swaps) == (200, first, 2)
        assert (await asker.ask("c", "model:chess")).weights == first


async def test_what_control_brought_serves_again_after_a_restart_until_the_settings_change(
    rig: Any, stores: Any
) -> None:
    one, two, three = (stores(name, seed) for name, seed in (("one", 1), ("two", 2), ("three", 3)))
    async with rig.node(models=(f"chess={one}",)) as asker:
        await until_serving(asker, "chess")
        weights = (await asker.command("s", "swap", model="chess", source=two)).models[0].weights
        await asker.command("l", "load", model="extra", source=three)
    async with rig.node(models=(f"chess={one}",)) as asker:
        status = await until_serving(asker, "extra")
        assert {model.model: model.state for model in status.models} == {"chess": "serving", "extra": "serving"}
        assert (await asker.ask("a", "model:chess")).weights == weights
        await asker.command("u", "unload", model="extra")
    async with rig.node(models=(f"chess={three}",)) as asker:
        status = await until_serving(asker, "chess")
        assert [model.name for model in status.models] == ["three"]


@pytest.mark.parametrize(
    ("command", "fields", "status", "text"),
    [
        ("swap", {"model": "none", "source": "x.json"}, 400, "no model 'none'; there are chess"),
        ("load", {"model": "chess", "source": "x.json"}, 400, "swap it"),
        ("load", {"model": "new"}, 400, "`source` is missing"),
        ("load", {"model": "a@b", "source": "x.json"}, 400, "no name for a model"),
        ("swap", {"model": "chess", "source": "/nowhere/x.json"}, 500, "there is no file"),
        ("rollback", {"model": "chess"}, 400, "no other model has served"),
        ("adapter-add", {"adapter": "x", "source": "/nowhere/x.json"}, 500, "there is no file"),
        ("adapter-update", {"adapter": "x", "source": "/nowhere/x.json"}, 500, "there is no file"),
        ("adapter-remove", {"adapter": "x"}, 400, "there is no adapter"),
    ],
)
async def test_commands_that_cannot_be_leave_everything_as_it_was(
    rig: Any, stores: Any, command: str, fields: dict[str, str], status: int, text: str
) -> None:
    async with rig.node(models=(f"chess={stores('one', 1)}",)) as asker:
        before = (await until_serving(asker, "chess")).models
        answer = await asker.command("c", command, **fields)
        assert answer.status == status
        assert text in (answer.reason or "")
        assert [(model.model, model.state, model.weights) for model in answer.models] == [
            (model.model, model.state, model.weights) for model in before
        ]
        assert (await asker.ask("a", "model:chess")).fallback is False


async def test_one_new_name_is_loaded_once_however_many_ask_at_once(rig: Any, stores: Any) -> None:
    one, two = stores("one", 1), stores("two", 2)
    async with rig.node(models=(one,)) as asker:
        await until_serving(asker, "one")
        for number in range(3):
            control = InferenceControl(request_id=f"l{number}", command="load", model="new", source=two)
            await asker.bus.publish(asker.topics.inference_control, control)
        await asker.until(lambda: len(asker.controls) == 3)
        assert sorted(answer.status for answer in asker.controls) == [200, 400, 400]


async def test_a_command_too_many_is_answered_too(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgechess_inference_node.component.CONTROLS_MAX", 0)
    async with rig.node() as asker:
        answer = await asker.command("c", "list")
        assert (answer.status, answer.reason) == (500, "0 commands are in work; ask again later")


async def test_a_node_loads_only_from_where_it_may(rig: Any, stores: Any) -> None:
    one, two = stores("one", 1), stores("two", 2)
    async with rig.node(models=(f"chess={one}",), sources=("s3://ours/",)) as asker:
        await until_serving(asker, "chess")
        answer = await asker.command("s", "swap", model="chess", source=two)
        assert (answer.status, "not among the `sources`" in (answer.reason or "")) == (400, True)
        assert (await asker.command("t", "swap", model="chess", source=one)).status == 200


async def test_a_model_that_cannot_be_had_is_told_and_brought_when_it_can(
    rig: Any, stores: Any, tmp_path: Path
) -> None:
    async with rig.node(models=(f"chess={tmp_path / 'one.json'}",)) as asker:
        response = await asker.ask("a", "model:chess")
        assert (response.status, response.fallback) == (200, True)
        await asker.until(lambda: asker.health[-1].status == "degraded")
        assert "there is no file" in (asker.health[-1].reason or "")
        stores("one", 1)
        await until_serving(asker, "chess")
        assert (await asker.ask("b", "model:chess")).fallback is False
        await asker.until(lambda: asker.health[-1].status == "ready")


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of AWS anywhere."""
    pytest.importorskip("boto3")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def remembered(cache: Path, address: str, store: Path) -> str:
    """A cache as a start from `address` leaves it."""
    from edgechess_inference.weights.manifest_memory import ManifestMemory

    ManifestMemory(cache).keep(address, store.read_bytes(), None)
    shutil.copytree(store.parent / "chunks", cache / "chunks")
    return str(cache)


@pytest.mark.usefixtures("nameless")
async def test_a_node_whose_cache_has_all_starts_without_credentials_and_says_so(
    rig: Any, stores: Any, tmp_path: Path, caplog: Any
) -> None:
    address = "s3://models/one.json"
    cache = remembered(tmp_path / "cache", address, Path(stores("one", 1)))
    async with rig.node(models=(f"chess={address}",), cache=cache) as asker:
        [model] = (await until_serving(asker, "chess")).models
        assert (await asker.ask("a", "model:chess")).fallback is False
        assert f"{address} is taken as it was when it was last read" in (model.remarks or "")
        await asker.until(lambda: "no credentials" in (asker.health[-1].reason or ""))
        assert asker.health[-1].status == "ready"  # every question has its answer
    [warned] = [record for record in caplog.records if "no credentials" in record.getMessage()]
    assert warned.levelname == "WARNING"


@pytest.mark.usefixtures("nameless")
async def test_a_node_whose_cache_lacks_a_chunk_says_that_it_has_no_credentials(
    rig: Any, stores: Any, tmp_path: Path
) -> None:
    cache = remembered(tmp_path / "cache", "s3://models/one.json", Path(stores("one", 1)))
    max((tmp_path / "cache" / "chunks").glob("??/*"), key=lambda path: path.stat().st_size).unlink()
    async with rig.node(models=("chess=s3://models/one.json",), cache=cache) as asker:
        await asker.until(lambda: asker.health[-1].status == "degraded")
        assert "no credentials" in (asker.health[-1].reason or "")
        assert (await asker.ask("a", "model:chess")).fallback is True


async def test_many_tables_at_once_are_all_answered_by_one_set_of_weights_each(rig: Any, stores: Any) -> None:
    """A swap in the middle: every answer is of the old weights or of the new, and says of which."""
    one, two = stores("one", 1), stores("two", 2)
    moves = {}
    for name, address in (("one", one), ("two", two)):
        async with rig.node(models=(f"{name}={address}",)) as asker:
            weights = (await until_serving(asker, name)).models[0].weights
            moves[weights] = (await asker.ask(f"alone-{name}", f"model:{name}")).lan
    async with rig.node(models=(f"chess={one}",), requests=200) as asker:
        await until_serving(asker, "chess")
        for number in range(60):
            await asker.send(f"m{number}", "model:chess")
            if number == 30:
                await asker.command("s", "swap", model="chess", source=two)
        await asker.until(lambda: len(asker.responses) >= 60)
        seen = {response.weights for response in asker.responses}
        assert seen == set(moves)
        assert all(response.lan == moves[response.weights] for response in asker.responses)


# ---------------------------------------------------------------- what it tells


async def test_status_counts_who_moved(rig: Any) -> None:
    async with rig.node(models=("chess=/nowhere/one.json",)) as asker:
        for number in range(3):
            await asker.ask(f"r{number}", "model:chess")
        await asker.ask("x", "random")
        await asker.until(lambda: asker.statuses[-1].answered == 4)
        assert asker.statuses[-1].fallbacks == 3


async def test_answers_are_events_with_what_was_asked(rig: Any) -> None:
    async with rig.node() as asker:
        response = await asker.ask("a", "random")
    rows = rig.disk.execute("select kind, data from entry").fetchall()
    kinds = [kind for kind, _ in rows]
    assert "answered" in kinds
    data = json.loads(next(data for kind, data in rows if kind == "answered"))
    assert data["response"]["lan"] == response.lan
