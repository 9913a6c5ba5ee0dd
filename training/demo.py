# pyright: reportMissingImports=false
"""All stages on one CPU thread: rows of our own set, a tiny model and tokenizer made on the spot, Safe-SFT, Safe-GDPO.

The model has about 140,000 parameters, and each title is one token to it. The demo shows that the stages work. It says
nothing about what a real model would learn.
"""

import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mirror_graph.evals.saferec.dataset import OWN, Case, CatalogueItem, DataSet, load_dataset
from mirror_graph.training import gdpo, rows, sft
from mirror_graph.training.requirements import check_extra, check_output, work_offline

PLACES = 5
LONG, SHORT = ("5e-3", 120), ("1e-3", 10)
DRAWS = 8
SUITABLE_PER_VIOLATING = 1
EXPECTED_RISE = 0.1
"""How much the safety reward of the last five batches should be above that of the first five."""

_SETTINGS = """\
# The settings of `mirror train demo`. They suit a tiny model and no other.
[sft]
learning_rate = {sft_rate}
max_steps = {sft_steps}
per_device_train_batch_size = 32
logging_strategy = "no"
disable_tqdm = true
gradient_checkpointing = false

[gdpo]
learning_rate = 2e-3
max_steps = 50
per_device_train_batch_size = 32
max_completion_length = 16
logging_strategy = "no"
disable_tqdm = true
gradient_checkpointing = false
"""

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def demo(output: Path, *, seed: int = 0) -> dict[str, Any]:
    """Run all stages below a new folder and return their figures.

    `seconds` and `megabytes` are of the whole process, `base`, `sft` and `gdpo` the logs of the three trainings, and
    `rise` is how much the safety reward rose.
    """
    check_extra()
    check_output(output)
    work_offline()
    clock = time.perf_counter()

    import datasets
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    output.mkdir(parents=True, exist_ok=True)
    taste, safe = make_demo_rows(seed)
    rows.save_rows(taste, output / "taste", {"seed": seed})
    rows.save_rows(safe, output / "rows", {"seed": seed})
    long, short = output / "long.toml", output / "short.toml"
    long.write_text(_SETTINGS.format(sft_rate=LONG[0], sft_steps=LONG[1]), "utf-8")
    short.write_text(_SETTINGS.format(sft_rate=SHORT[0], sft_steps=SHORT[1]), "utf-8")

    # A real base model knows what people like and little of what one user cannot bear. So does this one.
    make_tiny_model(taste, output / "random", seed=seed)
    base = sft.train(output / "taste", output / "random", output / "base", settings=long, seed=seed)
    # Safe-SFT is short, so that something is left for GDPO to show.
    tuned = sft.train(output / "rows", output / "base", output / "sft", settings=short, seed=seed)
    reinforced = gdpo.train(output / "rows", output / "sft", output / "gdpo", settings=short, seed=seed)
    return {
        "seconds": round(time.perf_counter() - clock, 1),
        "megabytes": _peak_megabytes(),
        "rise": round(reinforced["last_five"]["safety"] - reinforced["first_five"]["safety"], 4),
        "base": base,
        "sft": tuned,
        "gdpo": reinforced,
    }


def make_demo_rows(seed: int) -> tuple[rows.RowSet, rows.RowSet]:
    """Return rows that follow taste alone, and rows of the same users without what violates.

    They are split by user: both splits are about the same items, for so small a model can only learn these by heart.
    """
    dataset = load_dataset(OWN)
    by_taste = [_by_taste(case, dataset.items, seed) for case in dataset.cases]

    def made(cases: list[Case]) -> rows.RowSet:
        chosen = DataSet(dataset.items, cases)
        return rows.make_rows(chosen, k=PLACES, candidates=0, draws=DRAWS, split_by="user", seed=seed)

    return made(by_taste), made(dataset.cases)


def _by_taste(case: Case, items: Sequence[CatalogueItem], seed: int) -> Case:
    """Return a case half of whose items violate, so that there is something to learn."""
    violating = [number for number in case["candidates"] if not _is_suitable(case, items[number])]
    suitable = [number for number in case["candidates"] if _is_suitable(case, items[number])]
    if violating:
        wanted = min(len(suitable), SUITABLE_PER_VIOLATING * len(violating))
        suitable = random.Random(f"{seed}:{case['id']}").sample(suitable, wanted)
    truth = [(items[number]["title"], items[number]["year"]) for number in (*suitable, *violating)]
    return {**case, "relevant": truth, "constraints": []}


def _is_suitable(case: Case, item: CatalogueItem) -> bool:
    return set(case["constraints"]).isdisjoint(item["unsafe"])


def make_tiny_model(made: rows.RowSet, folder: Path, *, seed: int) -> None:
    """Save a random chat model of about 140,000 parameters, with a tokenizer trained on the training rows."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1_000,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(made), trainer)
    # Spelling titles would take so small a model most of its time.
    lists = [row["completion"][-1]["content"] for row in made.train]
    tokenizer.add_tokens(sorted({line for listed in lists for line in listed.splitlines()}))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=_CHAT_TEMPLATE
    )
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(wrapped),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.1,
            eos_token_id=wrapped.eos_token_id,
            pad_token_id=wrapped.pad_token_id,
            bos_token_id=None,
        )
    )
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)


def _texts(made: rows.RowSet) -> Iterator[str]:
    for row in made.train:
        for message in row["prompt"]:
            yield message["content"]


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kilobytes.
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
