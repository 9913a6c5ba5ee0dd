"""What LangSmith gets to see of a server's conversations: how each run went, and none of its words."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langsmith import Client, run_trees
from langsmith.utils import tracing_is_enabled

log = logging.getLogger(__name__)

VARIABLE = "MIRROR_TRACE_WORDS"

LABELS = re.compile(
    r"component|turn|thread_id|conversation_id|run_id|run_attempt|graph_id|assistant_id|mirror_(user|version|action)"
    r"|langgraph_(step|node|path|triggers|checkpoint_ns|version|plan|host|api_version)|checkpoint_ns|lc_versions"
    r"|ls_(provider|model_name|model_type|temperature|max_tokens|integration)|revision_id|created_by"
)
"""The metadata that stays. What a client adds to a run may be anything."""

TAGS = re.compile(r"(seq|graph):step:\d+|nostream|langsmith:(nostream|hidden)")

ERROR = re.compile(r"[A-Za-z_]\w*")
"""An error's class. What follows it may quote the user."""


class WordlessClient(Client):
    """A LangSmith client that sends no inputs, outputs, error texts, or labels that a caller chose.

    Of an output the counts of tokens stay, of an error its class, and of an event its time.
    """

    def create_run(self, name: str, inputs: dict[str, Any], run_type: Any, **fields: Any) -> None:
        """Send that a run has begun."""
        super().create_run(name, {}, run_type, **_wordless(fields))

    def update_run(self, run_id: Any, **fields: Any) -> None:
        """Send how a run has ended."""
        super().update_run(run_id, **_wordless(fields))


def hide_words_in_traces() -> None:
    """Send no words of a conversation to LangSmith from this process, unless `MIRROR_TRACE_WORDS` is `true`.

    Call it before the first traced run.
    """
    if os.environ.get(VARIABLE, "").lower() == "true":
        return
    if run_trees._CLIENT is None:
        # `configure(client=)` holds for one context only. A client that sends in batches asks LangSmith about itself as
        # it is made, which a process that traces nothing must not.
        run_trees._CLIENT = WordlessClient(auto_batch_tracing=bool(tracing_is_enabled()))
    elif not isinstance(run_trees._CLIENT, WordlessClient):
        log.warning(
            "this program made a LangSmith client of its own, which sends the words of conversations: give it "
            "hide_inputs=True and hide_outputs=True"
        )


def _wordless(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a run without words. What is not named here is ids and times."""
    masked = dict(fields)
    masks: dict[str, Callable[[Any], Any]] = {
        "inputs": lambda value: {},
        "outputs": _counts,
        "error": _error_class,
        "events": _times,
        "tags": _known_tags,
        "extra": _known_labels,
        "attachments": lambda value: None,
        "serialized": lambda value: None,
    }
    for name, mask in masks.items():
        if masked.get(name) is not None:
            masked[name] = mask(masked[name])
    return masked


def _counts(outputs: Any) -> dict[str, Any]:
    """Return the usage of a model call, where LangSmith looks for it; nothing of any other run."""
    try:
        usage = outputs["generations"][0][0]["message"]["kwargs"]["usage_metadata"]
    except (KeyError, IndexError, TypeError):
        return {}
    counts = {name: usage[name] for name in ("input_tokens", "output_tokens", "total_tokens") if name in usage}
    return {"usage_metadata": counts}


def _error_class(error: Any) -> str:
    found = ERROR.match(str(error))
    return found[0] if found else "error"


def _times(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": event.get("name"), "time": event.get("time")} for event in events]


def _known_tags(tags: Sequence[str]) -> list[str]:
    return [tag for tag in tags if TAGS.fullmatch(tag)]


def _known_labels(extra: Mapping[str, Any]) -> dict[str, Any]:
    metadata = extra.get("metadata") or {}
    return {"metadata": {name: value for name, value in metadata.items() if LABELS.fullmatch(name)}}
