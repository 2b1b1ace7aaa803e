"""`edgechess train lora`: low-rank adaptation of a causal language model, in plain torch with peft's layers.

The loss counts the completion's tokens only: the model learns to answer, not to write positions. Prompts are tokenised as
the node tokenises them for a tuned model, so that nothing differs between learning and playing.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it

from edgechess_training.errors import TrainingError
from edgechess_training.lora.examples import Examples
from edgechess_training.lora.recipe import LoraRecipe

IGNORED = -100  # a label that torch's cross entropy leaves out
EVALUATION_RECORDS = 256  # enough to see a trend; the whole file is `edgechess evaluate`'s business
SAVED_EVERY = 200  # steps
STATE_FILE, RECIPE_FILE, LOG_FILE = "state.pt", "recipe.json", "log.jsonl"
MERGED = "merged"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """After step `step` of `steps`: mean loss per completion token; `evaluation`: (loss, share of records whose whole
    completion the model finds likeliest token by token), now and then."""

    step: int
    steps: int
    loss: float
    rate: float
    evaluation: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One record in tokens; the first `prompt` of them are given."""

    tokens: list[int]
    prompt: int


class Tuning:
    """One run in one folder: `adapter_model.safetensors` and `adapter_config.json` as peft writes them, and its state."""

    def __init__(self, base: str, out: Path, recipe: LoraRecipe, device: torch.device, *, resume: bool = False) -> None:
        """`base`: a folder or a name of the hub. Raises TrainingError."""
        self.recipe, self.out, self._device = recipe, out, device
        _check_place(out, recipe, base, resume)
        torch.manual_seed(recipe.seed)
        self.tokenizer, loaded = _load(base, recipe, device)
        self.model = _adapted(loaded, recipe)
        self._learns = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._learns, lr=recipe.rate, weight_decay=0.0)
        self.step = self._restore() if resume else 0
        if not resume:
            out.mkdir(parents=True, exist_ok=True)
            (out / RECIPE_FILE).write_bytes(_stored(recipe, base))
            self.save()

    def train(
        self, records: Examples, evaluation: Examples | None, stop: Callable[[], bool], watch: Callable[[Step], None]
    ) -> bool:
        """True: to the end. False: `stop` said so; what was learnt is saved. Raises TrainingError."""
        recipe = self.recipe
        steps = max(1, math.ceil(self._fitting(records) * recipe.epochs / recipe.batch))
        batches = self._batches(records, self.step)
        self.model.train()
        while self.step < steps and not stop():
            rate = rate_at(self.step, steps, recipe)
            loss = self._learn(next(batches), rate)
            self.step += 1
            judged = None
            if self.step % SAVED_EVERY == 0 or self.step == steps:
                judged = self._judge(evaluation) if evaluation is not None else None
                self.save()
            self._tell(Step(self.step, steps, loss, rate, judged), watch)
        self.save()
        return self.step >= steps

    def save(self) -> None:
        """Adapter, tokenizer, and in one file, whole or not at all, what the run needs to go on."""
        from peft import get_peft_model_state_dict

        values = {
            "step": self.step,
            "optimizer": self._optimizer.state_dict(),
            "adapter": get_peft_model_state_dict(self.model),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
        }
        state = self.out / f"{STATE_FILE}.new"
        torch.save(values, state)
        fresh = self.out / "adapter.new"
        self.model.save_pretrained(fresh)
        self.tokenizer.save_pretrained(fresh)
        for file in sorted(fresh.iterdir()):
            file.replace(self.out / file.name)
        fresh.rmdir()
        state.replace(self.out / STATE_FILE)

    def merge(self) -> Path:
        """The whole model with the adapter in it, in OUT/merged: what Bedrock imports and `edgechess model pack` packs."""
        if self.recipe.four_bit:
            raise TrainingError(
                "weights of four bits cannot be merged: train without --four-bit, or serve the adapter beside its base"
            )
        target = self.out / MERGED
        self.model.merge_and_unload().save_pretrained(target, safe_serialization=True)
        self.tokenizer.save_pretrained(target)
        return target

    def _restore(self) -> int:
        """All from one file: adapter and optimizer are of the same step. A run that was killed before it was whole begins."""
        from peft import set_peft_model_state_dict

        try:
            state = torch.load(self.out / STATE_FILE, map_location=self._device, weights_only=True)
        except FileNotFoundError:
            return 0
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise TrainingError(f"{self.out / STATE_FILE} cannot be read: {error}") from error
        if "adapter" not in state:
            raise TrainingError(f"{self.out / STATE_FILE} is of an older edgechess: begin again in another folder")
        set_peft_model_state_dict(self.model, state["adapter"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"] is not None and self._device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self._device)
        return int(state["step"])

    def _fitting(self, records: Examples) -> int:
        """How many are short enough: epochs are counted over these. Raises TrainingError where there are none."""
        rows = (row_of(self.tokenizer, *records[number], self.recipe.length) for number in range(len(records)))
        count = sum(row is not None for row in rows)
        if not count:
            raise TrainingError(f"every record has more than {self.recipe.length} tokens: raise --length")
        return count

    def _batches(self, records: Examples, step: int) -> Iterator[list[Row]]:
        """Endless; from `step` on the same as in a run that was never stopped."""
        recipe, skipped, epoch = self.recipe, 0, 0
        gathered: list[Row] = []
        while True:
            order = list(range(len(records)))
            random.Random(f"{recipe.seed} {epoch}").shuffle(order)
            for number in order:
                row = row_of(self.tokenizer, *records[number], recipe.length)
                if row is None:
                    continue
                gathered.append(row)
                if len(gathered) == recipe.batch:
                    if skipped >= step:
                        yield gathered
                    skipped, gathered = skipped + 1, []
            epoch += 1

    def _learn(self, rows: Sequence[Row], rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        counted = sum(len(row.tokens) - row.prompt for row in rows)
        total = 0.0
        for begin in range(0, len(rows), self.recipe.at_once):
            loss, _ = self._loss(rows[begin : begin + self.recipe.at_once])
            (loss / counted).backward()  # type: ignore[no-untyped-call]
            total += float(loss)
        torch.nn.utils.clip_grad_norm_(self._learns, self.recipe.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(total):
            raise TrainingError(f"the loss is {total} at step {self.step + 1}: take a smaller --rate")
        return total / counted

    def _loss(self, rows: Sequence[Row]) -> tuple[torch.Tensor, int]:
        """Summed loss of the completions, and how many of them were found whole."""
        tokens, mask, labels = padded(rows, _padding(self.tokenizer))
        tokens, mask, labels = (part.to(self._device) for part in (tokens, mask, labels))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self.model(input_ids=tokens, attention_mask=mask).logits[:, :-1]
        wanted = labels[:, 1:]
        loss = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum")
        right = (logits.argmax(-1) == wanted) | (wanted == IGNORED)
        return loss, int(right.all(-1).sum())

    @torch.no_grad()
    def _judge(self, records: Examples) -> tuple[float, float] | None:
        self.model.eval()
        rows = [
            row
            for number in range(min(len(records), EVALUATION_RECORDS))
            if (row := row_of(self.tokenizer, *records[number], self.recipe.length)) is not None
        ]
        loss, found = 0.0, 0
        for begin in range(0, len(rows), self.recipe.at_once):
            more, right = self._loss(rows[begin : begin + self.recipe.at_once])
            loss, found = loss + float(more), found + right
        self.model.train()
        counted = sum(len(row.tokens) - row.prompt for row in rows)
        return (loss / counted, found / len(rows)) if rows else None

    def _tell(self, step: Step, watch: Callable[[Step], None]) -> None:
        with (self.out / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(dataclasses.asdict(step)) + "\n")
        watch(step)


def rate_at(step: int, steps: int, recipe: LoraRecipe) -> float:
    """Up in a line, down in a cosine to a tenth."""
    rising = max(1, round(recipe.warmup * steps))
    if step < rising:
        return recipe.rate * (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return recipe.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def row_of(tokenizer: Any, prompt: str, completion: str, length: int) -> Row | None:
    """None: longer than `length` tokens. The end of the text is the tokenizer's own."""
    given = list(tokenizer(prompt)["input_ids"])
    if given and given[-1] == tokenizer.eos_token_id:
        given.pop()  # some tokenizers end every text; a prompt goes on
    answer = list(tokenizer(completion, add_special_tokens=False)["input_ids"])
    tokens = [*given, *answer, tokenizer.eos_token_id]
    return Row(tokens, len(given)) if len(tokens) <= length else None


def padded(rows: Sequence[Row], padding: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, attention mask and labels [rows, longest]; padded on the right, which a causal model never looks at."""
    width = max(len(row.tokens) for row in rows)
    tokens = torch.full((len(rows), width), padding)
    labels = torch.full((len(rows), width), IGNORED)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        whole = torch.tensor(row.tokens)
        tokens[number, : len(whole)] = whole
        labels[number, row.prompt : len(whole)] = whole[row.prompt :]
        mask[number, : len(whole)] = 1
    return tokens, mask, labels


def _padding(tokenizer: Any) -> int:
    return int(next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None))


def _load(base: str, recipe: LoraRecipe, device: torch.device) -> tuple[Any, Any]:
    import transformers

    words: dict[str, Any] = {"dtype": torch.bfloat16 if device.type == "cuda" else torch.float32}
    if recipe.four_bit:
        words["quantization_config"] = _four_bit(device)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(base, **words)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{base}: transformers cannot load it: {str(error).splitlines()[0]}") from error
    if tokenizer.eos_token_id is None:
        raise TrainingError(f"{base}: its tokenizer has no token that ends a text")
    return tokenizer, model if recipe.four_bit else model.to(device)


def _four_bit(device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    if device.type != "cuda":
        raise TrainingError("--four-bit needs a CUDA device: leave it out, or use --device cuda")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingError("--four-bit needs bitsandbytes: pip install bitsandbytes, or leave it out")
    config: Any = BitsAndBytesConfig
    return config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _adapted(model: Any, recipe: LoraRecipe) -> Any:
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if recipe.four_bit:
        prepare: Any = prepare_model_for_kbit_training  # peft says nothing of its types
        model = prepare(model)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _check_place(out: Path, recipe: LoraRecipe, base: str, resume: bool) -> None:
    stored = out / RECIPE_FILE
    if resume:
        if not stored.is_file() or stored.read_bytes() != _stored(recipe, base):
            raise TrainingError(
                f"{out} holds no run with these settings: repeat those of {stored}, or leave out --resume"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} is not empty: --resume goes on with it; for a new run name another folder")


def _stored(recipe: LoraRecipe, base: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode({"base": base, "recipe": recipe}), indent=2) + b"\n"
