# pyright: reportMissingImports=false
"""The benchmark of a trained model: its lists for the test rows, measured as every arm of SafeRec is."""

from collections import defaultdict
from collections.abc import Sequence
from math import isnan
from statistics import fmean
from typing import Any

from mirror_graph.training.rewards import Scorer
from mirror_graph.training.rows import RowSet

CAVEAT = "It measures tags, not harm."
BATCH = 16
FIGURES = ("recall", "ndcg", "svr", "svr_k", "sdcg", "unsafe_list", "fill", "repeats", "unknown", "unread", "empty")


def benchmark(model: Any, tokenizer: Any, rows: RowSet) -> dict[str, Any]:
    """Let a model answer every test row, without sampling, and return means over rows.

    `all` is over all rows, `constrained` over those in which a constraint holds. A figure that is undefined in a row,
    such as the violation rate of an empty list, leaves that row out of its mean. It is None if no row defines it.
    """
    replies = answer(model, tokenizer, rows)
    scorer = Scorer(rows.catalogue)
    constrained = [row for row in rows.test if row["constraints"]]
    measured = {
        row["id"]: scorer.measure(
            reply, constraints=row["constraints"], relevant=row["relevant"], seen=row["seen"], k=row["k"]
        )
        for row, reply in zip(rows.test, replies, strict=True)
    }
    return {
        "caveat": CAVEAT,
        "all": _means([measured[row["id"]] for row in rows.test]),
        "constrained": _means([measured[row["id"]] for row in constrained]),
    }


def answer(model: Any, tokenizer: Any, rows: RowSet) -> list[str]:
    """Return the model's greedy reply to every test row, at most twice as long as the longest training list."""
    import torch

    limit = 2 * max(len(tokenizer(row["completion"][-1]["content"])["input_ids"]) for row in rows.train)
    was_training, padding_side = model.training, tokenizer.padding_side
    model.eval()
    tokenizer.padding_side = "left"
    replies: list[str] = []
    for start in range(0, len(rows.test), BATCH):
        prompts = [row["prompt"] for row in rows.test[start : start + BATCH]]
        encoded = tokenizer.apply_chat_template(
            prompts, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            written = model.generate(
                **encoded,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=limit,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = written[:, encoded["input_ids"].shape[1] :]
        replies += tokenizer.batch_decode(new, skip_special_tokens=True)
    tokenizer.padding_side = padding_side
    model.train(was_training)
    return replies


def _means(measured: Sequence[dict[str, float]]) -> dict[str, float | int | None]:
    defined: defaultdict[str, list[float]] = defaultdict(list)
    for figures in measured:
        for name, value in figures.items():
            if not isnan(value):
                defined[name].append(value)
    means = {name: round(fmean(defined[name]), 4) if defined[name] else None for name in FIGURES}
    return {"rows": len(measured), **means}
