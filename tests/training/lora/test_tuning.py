"""A language model of some thousand numbers learns two answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from edgechess_cli.main import app
from edgechess_training.errors import TrainingError
from edgechess_training.lora.examples import Examples
from edgechess_training.lora.recipe import LoraRecipe

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from edgechess_training.lora.tuning import IGNORED, Row, Step, Tuning, padded, rate_at, row_of  # noqa: E402

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore")  # torch, peft and transformers deprecate each other's ways

CHARACTERS = sorted({*"abcdefgh12345678KQRBNOx+=-#.<>/: movetpqrnbkw\nFEChsS", " "})
RECIPE = LoraRecipe(rank=8, alpha=16, dropout=0.0, rate=2e-2, epochs=30, batch=4, at_once=2, length=200, seed=3)
POSITIONS = {"e4": "8/8/8/8/8/8/4P3/4K2k w - - 0 1", "d5": "7K/3p4/8/8/8/8/8/7k b - - 0 1"}
TEMPLATE = {"prompt": "{fen} ", "completion": "<move>{move}</move> </s>"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("base")
    words = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *CHARACTERS])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # as large as a trained model's: small random ones cannot be led anywhere by an adapter
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [json.dumps({"move": move, "fen": fen, "nxt_color": "WHITE"}) for move, fen in POSITIONS.items()]
    for name in ("train.jsonl", "evaluation.jsonl"):
        (folder / name).write_text("\n".join(lines * 4) + "\n")
    (folder / "template.json").write_text(json.dumps(TEMPLATE))
    return folder


def trained(run: Tuning, data: Path, stop_at: int | None = None) -> list[Step]:
    seen: list[Step] = []
    run.train(
        Examples(data / "train.jsonl"),
        Examples(data / "evaluation.jsonl"),
        lambda: stop_at is not None and run.step >= stop_at,
        seen.append,
    )
    return seen


CPU = torch.device("cpu")


@pytest.mark.slow  # a model learns
def test_the_loss_falls_and_the_merged_model_writes_what_was_taught(base: Path, data: Path, tmp_path: Path) -> None:
    run = Tuning(str(base), tmp_path / "run", RECIPE, CPU)
    seen = trained(run, data)
    assert len(seen) == 60
    assert seen[-1].loss < 0.2 * seen[0].loss
    assert seen[-1].evaluation is not None
    assert seen[-1].evaluation[1] == 1.0
    assert (tmp_path / "run" / "adapter_model.safetensors").is_file()
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 60
    merged = run.merge()
    tokenizer = transformers.AutoTokenizer.from_pretrained(merged)
    model = transformers.AutoModelForCausalLM.from_pretrained(merged)
    prompt = tokenizer(POSITIONS["d5"] + " ", return_tensors="pt")["input_ids"]
    answer = model.generate(prompt, max_new_tokens=20, do_sample=False)[0, prompt.shape[1] :].tolist()
    assert answer[-1] == tokenizer.eos_token_id
    assert tokenizer.convert_ids_to_tokens(answer[:-1]) == list("<move>d5</move>")


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(base: Path, data: Path, tmp_path: Path) -> None:
    whole = trained(Tuning(str(base), tmp_path / "whole", RECIPE, CPU), data, stop_at=6)
    trained(Tuning(str(base), tmp_path / "parts", RECIPE, CPU), data, stop_at=3)
    rest = trained(Tuning(str(base), tmp_path / "parts", RECIPE, CPU, resume=True), data, stop_at=6)
    assert [step.step for step in rest] == [4, 5, 6]
    assert [step.loss for step in rest] == pytest.approx([step.loss for step in whole[3:]], rel=1e-4)


def test_dropout_goes_on_as_well(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(RECIPE, dropout=0.3)
    whole = trained(Tuning(str(base), tmp_path / "whole", recipe, CPU), data, stop_at=4)
    trained(Tuning(str(base), tmp_path / "parts", recipe, CPU), data, stop_at=2)
    rest = trained(Tuning(str(base), tmp_path / "parts", recipe, CPU, resume=True), data, stop_at=4)
    assert [step.loss for step in rest] == pytest.approx([step.loss for step in whole[2:]], rel=1e-4)


def test_a_kill_at_any_moment_leaves_what_goes_on(base: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = Tuning(str(base), out, RECIPE, CPU)
    assert Tuning(str(base), out, RECIPE, CPU, resume=True).step == 0  # before its first step
    trained(run, data, stop_at=2)
    (out / "adapter_model.safetensors").write_bytes(b"torn")  # while the next one was written
    found = Tuning(str(base), out, RECIPE, CPU, resume=True)
    assert found.step == 2
    ours, theirs = (dict(each.model.named_parameters()) for each in (run, found))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    (out / "state.pt").unlink()
    assert Tuning(str(base), out, RECIPE, CPU, resume=True).step == 0


def test_epochs_are_of_the_records_that_fit(base: Path, tmp_path: Path) -> None:
    short, long = ({"prompt": "a" * count, "completion": "b"} for count in (3, 300))
    made = Examples(record(tmp_path / "x.jsonl", *[short, long] * 4))
    seen: list[Step] = []
    recipe = msgspec.structs.replace(RECIPE, epochs=1, batch=2)
    run = Tuning(str(base), tmp_path / "other", recipe, CPU)
    run.train(made, None, lambda: run.step >= 1, seen.append)
    assert [step.steps for step in seen] == [2]
    with pytest.raises(TrainingError, match="every record has more than 200 tokens"):
        run.train(Examples(record(tmp_path / "y.jsonl", long)), None, lambda: False, seen.append)


def test_four_bits_and_a_merge_are_refused_at_once(data: Path, tmp_path: Path) -> None:
    words = ["train", "lora", "--data", data, "--base", "x", "--out", tmp_path / "o", "--four-bit", "--merge"]
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 2
    assert "weights of four bits cannot be merged" in found.output


def test_what_cannot_be_done_is_one_line(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs a CUDA device"):
        Tuning(str(base), tmp_path / "a", LoraRecipe(four_bit=True), CPU)
    with pytest.raises(TrainingError, match="transformers cannot load it"):
        Tuning(str(tmp_path), tmp_path / "b", RECIPE, CPU)
    with pytest.raises(TrainingError, match="no run with these settings"):
        Tuning(str(base), tmp_path / "c", RECIPE, CPU, resume=True)
    with pytest.raises(TrainingError, match="is not empty"):
        Tuning(str(base), data, RECIPE, CPU)


def test_only_the_completion_is_learnt(base: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    row = row_of(tokenizer, "ab", "cd", 200)
    assert row is not None
    tokens, mask, labels = padded([row, Row([5, 6], 1)], 0)
    assert labels.tolist()[0][:2] == [IGNORED, IGNORED]
    assert labels.tolist()[0][2:] == [*tokens.tolist()[0][2:4], tokenizer.eos_token_id]
    assert labels.tolist()[1] == [IGNORED, 6, IGNORED, IGNORED, IGNORED]
    assert mask.tolist()[1] == [1, 1, 0, 0, 0]
    assert row_of(tokenizer, "ab", "cd", 4) is None


def test_the_rate_rises_and_falls() -> None:
    recipe = LoraRecipe(rate=1.0, warmup=0.1)
    rates = [rate_at(step, 100, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def record(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def test_records_of_either_form_give_the_same(data: Path, tmp_path: Path) -> None:
    made = record(tmp_path / "x.jsonl", {"prompt": POSITIONS["e4"] + " ", "completion": "<move>e4</move>"})
    assert Examples(made)[0] == Examples(data / "train.jsonl")[0]


@pytest.mark.parametrize(
    ("values", "said"),
    [((), "holds no records"), (([],), "no JSON object"), (({"move": "e4"},), "record 1 has no 'fen'")],
)
def test_records_that_are_none(values: tuple[Any, ...], said: str, data: Path) -> None:
    with pytest.raises(TrainingError, match=said):
        Examples(record(data / "x.jsonl", *values))


def test_records_without_their_template(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no template with prompt and completion"):
        Examples(record(tmp_path / "x.jsonl", {"move": "e4"}))
    with pytest.raises(TrainingError, match="dataset build --records concise"):
        Examples(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("epochs", 0.0), ("length", 4), ("batch", 3)])
def test_a_recipe_that_cannot_be(field: str, value: float) -> None:
    words: Any = {field: value}
    with pytest.raises(TrainingError, match=r"batch of 3|it goes from"):
        LoraRecipe(**words)
