"""One set of weights, three computations: torch, onnxruntime, and plain numpy written down a second time here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import chess
import pytest

np = pytest.importorskip("numpy")

from edgechess_inference.backends.loading import LoadOptions, load_model  # noqa: E402
from edgechess_inference.move_model import (  # noqa: E402
    AdapterError,
    ModelError,
    ModelLate,
    ModelUnavailable,
    PositionRequest,
    PromptRequest,
)
from edgechess_inference.policy.architecture import Architecture  # noqa: E402
from edgechess_inference.policy.checkpoint import pack_policy, quantised  # noqa: E402
from edgechess_inference.policy.encoding import records, tokens_and_clocks  # noqa: E402
from edgechess_inference.policy.moves import UNDERPROMOTIONS, legal_indices, move_at  # noqa: E402
from edgechess_inference.weights.manifest import Card  # noqa: E402
from edgechess_inference.weights.packing import pack  # noqa: E402

pytestmark = pytest.mark.anyio

FENS = [
    chess.STARTING_FEN,
    "r3k2r/1P6/8/8/8/8/1p6/R3K2R b KQkq - 3 9",
    "rnbqkbnr/ppp1pppp/8/8/3pP3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 3",
    "8/5k2/8/8/8/2K5/8/7Q w - - 60 90",
]
TOLERANCE = 2e-5
KINDS = ["residual", "encoder"]


def needs(backend: str) -> str:
    pytest.importorskip("torch" if backend == "torch" else "onnxruntime")
    if backend == "onnxruntime":
        pytest.importorskip("onnx")
    return backend


BACKENDS = ["torch", "onnxruntime"]


# ---------------------------------------------------------------- the third computation


def rms(x: Any, weight: Any) -> Any:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weight


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def geometry(weight: Any) -> Any:
    """[heads, 64, 64] from the 15 by 15 differences of rank and file."""
    out = np.zeros((len(weight), 64, 64), np.float32)
    for a in range(64):
        for b in range(64):
            out[:, a, b] = weight.reshape(-1, 15, 15)[:, b // 8 - a // 8 + 7, b % 8 - a % 8 + 7]
    return out


def convolution(x: Any, matrix: Any) -> Any:
    """[n, 64, c] by a matrix [out, in * 9], as nine shifted sums over an empty border."""
    n, _, c = x.shape
    wide = np.zeros((n, 10, 10, c), np.float32)
    wide[:, 1:9, 1:9] = x.reshape(n, 8, 8, c)
    kernel = matrix.reshape(-1, c, 3, 3)
    out = sum(
        wide[:, row : row + 8, file : file + 8] @ kernel[:, :, row, file].T for row in range(3) for file in range(3)
    )
    return out.reshape(n, 64, -1)


def reference(a: Architecture, w: Any, fens: list[str]) -> tuple[Any, Any]:
    tokens, clocks = tokens_and_clocks(records(chess.Board(fen) for fen in fens))
    x = w["embed.pieces"][tokens] + w["embed.squares"] + clocks[:, :, None] * w["embed.clock"]
    for number in range(a.blocks):
        p = {name.removeprefix(f"blocks.{number}."): value for name, value in w.items() if f"blocks.{number}." in name}
        x = residual(p, x) if a.trunk == "residual" else encoder(a, p, x, w.get("embed.templates"))
    x = rms(x, w["norm.weight"])
    q, k = x @ w["policy_head.query.weight"].T, x @ w["policy_head.key.weight"].T
    pairs = q @ k.transpose(0, 2, 1) / np.sqrt(a.policy_width) + geometry(w["policy_head.geometry.weight"])
    under = x @ w["policy_head.underpromotion.weight"].T
    extra = [pairs[:, b, e] + under[:, e, [2, 3, 4].index(piece)] for b, e, piece in UNDERPROMOTIONS]
    moves = np.concatenate((pairs.reshape(len(fens), -1), np.stack(extra, 1)), 1)
    hidden = np.maximum(x.mean(1) @ w["value_head.hidden.weight"].T + w["value_head.hidden.bias"], 0)
    return moves, hidden @ w["value_head.outlook.weight"].T + w["value_head.outlook.bias"]


def residual(p: Any, x: Any) -> Any:
    y = convolution(np.maximum(rms(x, p["norm1.weight"]), 0), p["conv1.weight"])
    y = convolution(np.maximum(rms(y, p["norm2.weight"]), 0), p["conv2.weight"])
    code = np.maximum(y.mean(1) @ p["squeeze.weight"].T + p["squeeze.bias"], 0)
    both = code @ p["excite.weight"].T + p["excite.bias"]
    scale, shift = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
    return x + y / (1 + np.exp(-scale))[:, None] + shift[:, None]


def encoder(a: Architecture, p: Any, x: Any, templates: Any) -> Any:
    n = len(x)
    y = rms(x, p["norm1.weight"])
    bias = geometry(p["geometry.weight"])[None]
    if a.generated:
        code = np.maximum((y @ p["compress.weight"].T).reshape(n, -1) @ p["generate1.weight"].T, 0)
        codes = (code @ p["generate2.weight"].T).reshape(n, a.heads, a.generated)
        bias = bias + (codes @ templates.T).reshape(n, a.heads, 64, 64)
    size = a.width // a.heads
    q, k, v = np.split(y @ p["qkv.weight"].T, 3, axis=-1)
    out = np.zeros_like(q)
    for head in range(a.heads):
        part = slice(head * size, (head + 1) * size)
        shares = softmax(q[..., part] @ k[..., part].transpose(0, 2, 1) / np.sqrt(size) + bias[:, head])
        out[..., part] = shares @ v[..., part]
    x = x + out @ p["out.weight"].T
    return x + np.maximum(rms(x, p["norm2.weight"]) @ p["up.weight"].T, 0) ** 2 @ p["down.weight"].T


def check(found: Any, a: Architecture, weights: Any) -> None:
    """Rankings of FENS against the reference."""
    moves, outlooks = reference(a, weights, FENS)
    for ranking, fen, logits, outlook in zip(found, FENS, moves, outlooks, strict=True):
        board = chess.Board(fen)
        legal = legal_indices(board)
        shares = dict(zip((move.uci() for move in legal.values()), softmax(logits[list(legal)]), strict=True))
        assert {chance.uci for chance in ranking.moves} == set(shares)
        for chance in ranking.moves:
            assert chance.probability == pytest.approx(shares[chance.uci], abs=TOLERANCE)
        assert [chance.probability for chance in ranking.moves] == sorted(shares_of(ranking), reverse=True)
        best = int(logits.argmax())
        assert ranking.raw_best == move_at(best, board).uci()
        assert ranking.raw_legal == (best in legal)
        win, draw, _loss = softmax(outlook)
        assert (ranking.outlook.win, ranking.outlook.draw) == pytest.approx((win, draw), abs=TOLERANCE)
        assert ranking.outlook.score == pytest.approx(win + draw / 2, abs=TOLERANCE)


def shares_of(ranking: Any) -> list[float]:
    return [chance.probability for chance in ranking.moves]


# ---------------------------------------------------------------- the tests


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_answer_is_the_reference_s(kind: str, backend: str, tmp_path: Path, networks: Any) -> None:
    a = networks.architectures[kind]
    networks.pack(tmp_path / "n.json", a, seed=1)
    async with load_model(str(tmp_path / "n.json"), LoadOptions(backend=needs(backend), threads=1)) as model:
        check(await model.rank([PositionRequest(fen) for fen in FENS]), a, networks.weights(a, 1))
        await model.ready()
        check(await model.rank([PositionRequest(fen) for fen in FENS]), a, networks.weights(a, 1))
        assert model.memory().converted_bytes == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_weights_in_eight_bits_are_widened_as_they_load(
    kind: str, backend: str, tmp_path: Path, networks: Any
) -> None:
    a = networks.architectures[kind]
    stored = quantised(networks.weights(a, 1))
    pack_policy(tmp_path / "n.json", a, stored)
    wide = {
        name: array.astype(np.float32) * stored[f"{name}.scale"][:, None] if array.dtype == np.int8 else array
        for name, array in stored.items()
        if not name.endswith(".scale")
    }
    async with load_model(str(tmp_path / "n.json"), LoadOptions(backend=needs(backend), threads=1)) as model:
        check(await model.rank([PositionRequest(fen) for fen in FENS]), a, wide)
        assert model.memory().converted_bytes > 0


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("backend", BACKENDS)
async def test_without_threads_the_answer_is_the_same(backend: str, tmp_path: Path, networks: Any) -> None:
    a = networks.architectures["residual"]
    networks.pack(tmp_path / "n.json", a, seed=1)
    options = LoadOptions(backend=needs(backend), inline=True)
    async with load_model(str(tmp_path / "n.json"), options) as model:
        check(await model.rank([PositionRequest(fen) for fen in FENS]), a, networks.weights(a, 1))


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_finished_game_has_no_move_and_bad_questions_are_refused(
    backend: str, tmp_path: Path, networks: Any
) -> None:
    networks.pack(tmp_path / "n.json", networks.architectures["residual"], seed=1)
    async with load_model(str(tmp_path / "n.json"), LoadOptions(backend=needs(backend))) as model:
        [mate] = await model.rank([PositionRequest("rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3")])
        assert mate.moves == ()
        assert not mate.raw_legal
        assert await model.rank([]) == []
        for fen in ("nonsense", "8/8/8/8/8/8/8/8 w - - 0 1"):
            with pytest.raises(ModelError, match="no position"):
                await model.rank([PositionRequest(fen)])
        with pytest.raises(AdapterError, match="none is registered"):
            await model.rank([PositionRequest(chess.STARTING_FEN, adapter="x")])
        with pytest.raises(ModelLate):
            await model.rank([PositionRequest(chess.STARTING_FEN, deadline=anyio.current_time())])
        with pytest.raises(ModelError, match="completes no prompts"):
            await model.complete([PromptRequest("e4")])
    with pytest.raises(ModelUnavailable):
        await model.rank([PositionRequest(chess.STARTING_FEN)])
    await model.close()


async def test_torch_computes_in_the_stream_s_own_memory(tmp_path: Path, networks: Any) -> None:
    needs("torch")
    networks.pack(tmp_path / "n.json", networks.architectures["encoder"], seed=1)
    async with load_model(str(tmp_path / "n.json"), LoadOptions(backend="torch")) as model:
        backend = model._backend  # type: ignore[attr-defined]
        begin = backend._buffer.memory.data_ptr()
        places = [value.data_ptr() for value in backend._network.parameters()]
        assert all(begin <= place < begin + backend._buffer.bytes for place in places)


@pytest.mark.parametrize(
    ("card", "named"),
    [
        ({"encoding": "planes-112"}, "planes-112"),
        ({"config": "{}"}, "description"),
        ({"config": '{"trunk":"residual","width":8,"blocks":1}'}, "this network needs"),
    ],
)
async def test_weights_that_are_not_what_their_card_says_are_refused(
    card: dict[str, str], named: str, tmp_path: Path, networks: Any
) -> None:
    from edgechess_inference.errors import InferenceError
    from edgechess_inference.policy.checkpoint import save

    a = networks.architectures["encoder"]
    save(tmp_path / "n.safetensors", a, networks.weights(a, 1))
    wrong = Card(
        name="n", architecture="edgechess-policy", licence="MIT",
        encoding=card.get("encoding", "squares-16"), extra={"config": card.get("config", "")},
    )  # fmt: skip
    pack(tmp_path / "n.safetensors", tmp_path / "n.json", wrong, files=())
    with pytest.raises(InferenceError, match=named):
        async with load_model(str(tmp_path / "n.json")):
            pass


async def test_what_cannot_run_here_says_so(tmp_path: Path, networks: Any) -> None:
    networks.pack(tmp_path / "n.json", networks.architectures["residual"], seed=1)
    with pytest.raises(ModelError, match="choose the backend torch"):
        async with load_model(str(tmp_path / "n.json"), LoadOptions(backend="onnxruntime", device="cuda")):
            pass
