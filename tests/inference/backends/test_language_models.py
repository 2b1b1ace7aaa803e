"""Tiny random models of three architectures, built here, against transformers' own loading of the same files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from edgechess_inference.backends.loading import LoadOptions, load_model  # noqa: E402 — needs torch
from edgechess_inference.move_model import Message, ModelError, ModelLate, PositionRequest, PromptRequest  # noqa: E402
from edgechess_inference.weights.manifest import Card  # noqa: E402
from edgechess_inference.weights.packing import pack  # noqa: E402

pytestmark = pytest.mark.anyio
torch.set_num_threads(1)

WORDS = ["<pad>", "<s>", "</s>", "<unk>", *"abcdefgh", *"12345678", *"KQRBNOx+=-#.<>/ ", "move", "Nf", "Nf3", "e4"]
TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}e4"


def tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("Nf3|e4|move|."), "isolated")
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def config(kind: str) -> Any:
    size = {"vocab_size": len(WORDS), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    llama = {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 64,
    }  # fmt: skip
    if kind == "llama":
        return transformers.LlamaConfig(**size, **llama, tie_word_embeddings=False)
    if kind == "qwen2":
        return transformers.Qwen2Config(**size, **llama, tie_word_embeddings=True)
    return transformers.GPT2Config(**size, n_embd=16, n_layer=3, n_head=4, n_positions=64)


def made(folder: Path, kind: str, dtype: Any) -> Path:
    """A checkpoint as transformers saves it, packed; the address."""
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config(kind), dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.2)
    model.save_pretrained(folder / kind)
    tokenizer().save_pretrained(folder / kind)
    card = Card(name=kind, architecture=type(model).__name__, licence="MIT", tokenizer="tokenizer.json")
    pack(folder / kind, folder / f"{kind}.json", card)
    return folder / f"{kind}.json"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    for kind in ("llama", "qwen2", "gpt2"):
        made(folder, kind, torch.float32)
    return folder


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
async def test_logits_and_greedy_text_are_those_of_from_pretrained(store: Path, kind: str) -> None:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(store / kind).eval()
    words = transformers.AutoTokenizer.from_pretrained(store / kind)
    prompts = ["e4 ", "move Nf3 a1b2", "#"]
    async with load_model(str(store / f"{kind}.json")) as model:
        await model.ready()
        network = model._backend.network  # type: ignore[attr-defined]
        ids = torch.tensor([[1, 5, 9, 11, 30]])
        with torch.inference_mode():
            assert torch.equal(network(ids).logits, theirs(ids).logits)
        found = await model.complete([PromptRequest(prompt, max_tokens=6) for prompt in prompts])
    for prompt, completion in zip(prompts, found, strict=True):
        ids = words(prompt, return_tensors="pt")
        with torch.inference_mode():
            out = theirs.generate(**ids, max_new_tokens=6, do_sample=False, pad_token_id=0)[
                0, ids["input_ids"].shape[1] :
            ]
        assert completion.text == words.decode(out, skip_special_tokens=True)
        assert completion.finish == ("end" if 2 in out.tolist() else "length")


async def test_a_type_of_sixteen_bits_stays_as_it_was_stored(tmp_path: Path) -> None:
    address = made(tmp_path, "qwen2", torch.bfloat16)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "qwen2", dtype="auto").eval()
    async with load_model(str(address)) as model:
        await model.ready()
        network = model._backend.network  # type: ignore[attr-defined]
        assert model.memory().converted_bytes == 0
        ids = torch.tensor([[1, 5, 9]])
        with torch.inference_mode():
            assert torch.equal(network(ids).logits, theirs(ids).logits)


async def test_tied_weights_are_one_and_lie_in_the_stream_s_memory(store: Path) -> None:
    async with load_model(str(store / "qwen2.json")) as model:
        backend = model._backend  # type: ignore[attr-defined]
        begin = backend._buffer.memory.data_ptr()
        places = {value.data_ptr() for value in backend.network.parameters()}
        assert all(begin <= place < begin + backend._buffer.bytes for place in places)
        network = backend.network
        assert network.lm_head.weight.data_ptr() == network.model.embed_tokens.weight.data_ptr()


async def test_only_allowed_answers_can_be_written(store: Path) -> None:
    allowed = ("Nf3", "Nf3+", "e4", "a1b2")
    async with load_model(str(store / "llama.json")) as model:
        requests = [
            PromptRequest(prompt, allowed=allowed, temperature=heat, seed=seed)
            for prompt in ("e4", "move #")
            for heat in (0.0, 5.0)
            for seed in range(4)
        ]
        found = await model.complete(requests)
        assert {completion.text for completion in found} <= set(allowed)
        assert len({completion.text for completion in found}) > 1
        assert all(completion.constrained and completion.finish == "allowed" for completion in found)
        [free] = await model.complete([PromptRequest("e4", max_tokens=3)])
        assert not free.constrained


async def test_a_row_s_text_does_not_depend_on_its_batch(store: Path) -> None:
    async with load_model(str(store / "gpt2.json")) as model:
        requests = [PromptRequest(text, max_tokens=5, temperature=1.0, seed=3) for text in ("e4", "move Nf3 b1", "x")]
        together = await model.complete(requests)
        for request, expected in zip(requests, together, strict=True):
            [alone] = await model.complete([request])
            assert alone.text == expected.text


async def test_writing_ends_at_a_stop_text(store: Path) -> None:
    async with load_model(str(store / "llama.json")) as model:
        [whole] = await model.complete([PromptRequest("e4", max_tokens=8)])
        sign = whole.text[2]
        [cut] = await model.complete([PromptRequest("e4", max_tokens=8, stop=(sign,))])
    assert cut.text == whole.text[: whole.text.index(sign)]
    assert cut.finish == "stop"


async def test_messages_are_set_by_the_chat_template(store: Path) -> None:
    async with load_model(str(store / "llama.json")) as model:
        [plain] = await model.complete([PromptRequest("move e4", max_tokens=4)])
        [chat] = await model.complete([PromptRequest((Message("user", "move"),), max_tokens=4)])
    assert (chat.text, chat.prompt_tokens) == (plain.text, plain.prompt_tokens)


async def test_what_has_a_deadline_ends_by_it(store: Path) -> None:
    async with load_model(str(store / "llama.json")) as model:
        await model.complete([PromptRequest("e4", max_tokens=4)])
        now = anyio.current_time()
        [late, free] = await model.complete(
            [PromptRequest("e4", max_tokens=40, deadline=now + 1e-3), PromptRequest("e4", max_tokens=4)]
        )
        assert late.finish == "deadline"
        assert late.tokens < 40
        assert free.finish == "length"
        with pytest.raises(ModelLate):
            await model.complete([PromptRequest("e4", deadline=now)])


async def test_a_cancelled_batch_ends_and_the_model_answers_the_next(store: Path) -> None:
    async with load_model(str(store / "llama.json")) as model:
        with anyio.move_on_after(0.005):
            await model.complete([PromptRequest("e4", max_tokens=50)] * 3)
        [completion] = await model.complete([PromptRequest("e4", max_tokens=2)])
    assert completion.tokens == 2


async def test_wrong_questions_are_refused_by_name(store: Path, tmp_path: Path) -> None:
    async with load_model(str(store / "llama.json")) as model:
        with pytest.raises(ModelError, match="ranks no moves"):
            await model.rank([PositionRequest("8/8/8/8/8/8/8/8 w - - 0 1")])
        with pytest.raises(ModelError, match="100 tokens"):
            await model.complete([PromptRequest("x" * 100)])
    card = Card(name="bare", architecture="LlamaForCausalLM", licence="MIT")
    pack(store / "llama", tmp_path / "bare.json", card, files=())
    with pytest.raises(ModelError, match=r"no config\.json"):
        async with load_model(str(tmp_path / "bare.json")):
            pass
    files = [
        store / "gpt2" / "config.json",
        store / "gpt2" / "tokenizer.json",
        store / "gpt2" / "tokenizer_config.json",
    ]
    pack(store / "llama", tmp_path / "mixed.json", card, files=files)
    with pytest.raises(ModelError, match="needs the tensor"):
        async with load_model(str(tmp_path / "mixed.json")):
            pass


async def test_without_threads_the_same_text_is_written(store: Path) -> None:
    request = PromptRequest("e4", max_tokens=5)
    async with load_model(str(store / "llama.json")) as model:
        [expected] = await model.complete([request])
    async with load_model(str(store / "llama.json"), LoadOptions(inline=True)) as model:
        [found] = await model.complete([request])
    assert found.text == expected.text


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's affair with transformers
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
async def test_an_adapter_trained_with_peft_answers_as_peft_does(kind: str, store: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from edgechess_inference.adapters.lora import pack_adapter
    from edgechess_inference.adapters.table import AdapterTable
    from edgechess_inference.weights.manifest import parse

    theirs = transformers.AutoModelForCausalLM.from_pretrained(store / kind)
    targets = ["q_proj", "v_proj", "down_proj"] if kind == "llama" else ["c_attn", "c_proj"]
    settings = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, fan_in_fan_out=kind == "gpt2")
    torch.manual_seed(2)
    tuned = peft.get_peft_model(theirs, settings).eval()
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
    tuned.save_pretrained(tmp_path / "peft")
    pack_adapter(tmp_path / "peft", tmp_path / "style.json", [parse((store / f"{kind}.json").read_bytes())])
    table = AdapterTable()
    await table.register("style", str(tmp_path / "style.json"))
    async with load_model(str(store / f"{kind}.json"), adapters=table) as model:
        backend = model._backend  # type: ignore[attr-defined]
        ids = torch.tensor([[1, 5, 9, 11], [1, 7, 8, 3]])
        async with table.lend(["style"], model) as lent:  # type: ignore[arg-type]
            with (
                torch.inference_mode(),
                backend.low_rank.using([(None, slice(0, 1)), (lent["style"].prepared, slice(1, 2))]),
            ):
                found = backend.network(ids).logits
        with torch.inference_mode():
            adapted = tuned(ids).logits
            with tuned.disable_adapter():
                plain = tuned(ids).logits
        assert torch.allclose(found[0], plain[0], atol=1e-5)
        assert torch.allclose(found[1], adapted[1], atol=1e-4)
        assert not torch.allclose(adapted[1], plain[1], atol=1e-2)
        [with_style, without] = await model.complete(
            [PromptRequest("e4", max_tokens=3, adapter="style"), PromptRequest("e4", max_tokens=3)]
        )
    assert (with_style.adapter, without.adapter) == ("style", None)
    assert table.info("style").counts.requests == 1


WATCHED = """
import sys, threading
import anyio

HEAVY = ("torch", "transformers", "tokenizers", "numpy", "onnx", "onnxruntime")
found = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread() and name.partition(".")[0] in HEAVY:
            found.append(name)

sys.meta_path.insert(0, Watch())

async def main(address):
    from edgechess_inference_node.models import _import_backends
    await anyio.to_thread.run_sync(_import_backends, "cpu")
    from edgechess_inference.backends.loading import LoadOptions
    from edgechess_inference.backends.slot import ModelSlot
    from edgechess_inference.move_model import PromptRequest
    async with ModelSlot(LoadOptions()) as slot:
        await slot.load(address)
        await slot.complete(PromptRequest("e4", max_tokens=2))
    print(found)

anyio.run(main, sys.argv[1])
"""


@pytest.mark.slow
def test_the_event_loop_of_a_node_waits_for_no_import_of_a_language_models_backend(tmp_path: Path) -> None:
    """They take seconds, and the engine answers meanwhile."""
    address = made(tmp_path, "llama", torch.float32)
    done = subprocess.run([sys.executable, "-c", WATCHED, str(address)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
