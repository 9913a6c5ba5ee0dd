"""What `mirror_graph` exports, and that a caller can import every type that its signatures mention."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import mirror_graph
from mirror_graph import MirrorContext
from mirror_graph.graphs.mirror import graph as mirror
from mirror_graph.graphs.talker import graph as talker
from mirror_graph.graphs.thinker import thinker

PUBLIC = [
    "AnsweredTurn",
    "CallError",
    "ComponentUsage",
    "ConfigurationError",
    "ConstraintChanges",
    "Conversation",
    "ConversationInfo",
    "EventKind",
    "Exchange",
    "Failure",
    "Finding",
    "FinishReason",
    "Fit",
    "GuardMode",
    "Guarded",
    "HostClosedError",
    "InvalidItemError",
    "Item",
    "ItemSource",
    "Kind",
    "MessageRefusedError",
    "Met",
    "Mind",
    "MindEvent",
    "MindState",
    "Mirror",
    "MirrorContext",
    "MirrorError",
    "MirrorInput",
    "MirrorNode",
    "MirrorState",
    "MissingKeyError",
    "ModelFileError",
    "MonologueEntry",
    "Narrative",
    "NoRoomError",
    "Notes",
    "Offer",
    "PassState",
    "Paused",
    "RecommendInput",
    "RecommendOutput",
    "RecommendState",
    "RefusalError",
    "Relevance",
    "Reply",
    "ReplyError",
    "ReplyStream",
    "Rule",
    "SafetyConstraint",
    "Scheduler",
    "Screener",
    "Severity",
    "Source",
    "Status",
    "StorageError",
    "SyncConversation",
    "SyncMirror",
    "SyncReplyStream",
    "SyncUser",
    "Thinking",
    "ThinkingPass",
    "Thought",
    "ThreadInUseError",
    "Tokens",
    "Touch",
    "TouchedBy",
    "UnknownConstraintError",
    "UnknownMessageError",
    "User",
    "Verdict",
    "build_mirror",
    "build_recommend",
    "build_talker",
    "build_thinker",
    "guarded",
    "mirror_node",
    "open_mirror",
    "open_mirror_sync",
    "relevant",
    "scan",
]

COMPLETE = """
import sys
import mirror_graph

print(*(name for name in dir(mirror_graph) if not name.startswith("_")))
print(*sorted({"langgraph", "langchain_core"} & set(sys.modules)))
"""


def callables_of(value: Any) -> Iterator[Callable[..., Any]]:
    """Yield what of a public name a caller calls; only errors and dataclasses are made by hand."""
    if not inspect.isclass(value):
        yield inspect.unwrap(value)
        return
    is_made_by_hand = issubclass(value, Exception) or hasattr(value, "__dataclass_fields__")
    for name, member in vars(value).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and (not name.startswith("_") or (name == "__init__" and is_made_by_hand)):
            yield inspect.unwrap(function)


def types_in(hint: Any) -> Iterator[Any]:
    """Yield our own types, and every closed set of words, that stand anywhere in an annotation."""
    if get_origin(hint) is Literal:
        yield hint
    if inspect.isclass(hint) and hint.__module__.startswith("mirror_graph"):
        yield hint
    for part in get_args(hint) if get_origin(hint) is not Literal else ():
        yield from types_in(part)


def mentioned_types(name: str) -> list[Any]:
    value = getattr(mirror_graph, name)
    annotated = [*callables_of(value), value] if inspect.isclass(value) else list(callables_of(value))
    return [found for item in annotated for hint in get_type_hints(item).values() for found in types_in(hint)]


def errors_in_docstrings(name: str) -> set[str]:
    value = getattr(mirror_graph, name)
    text = " ".join(inspect.getdoc(item) or "" for item in [value, *callables_of(value)])
    return {word.strip("`,.") for word in text.split() if word.startswith("`") and word.strip("`,.").endswith("Error")}


def is_literal(name: str) -> bool:
    return get_origin(getattr(mirror_graph, name)) is Literal


def test_exactly_these_names_are_public() -> None:
    assert sorted(vars(mirror_graph)["__all__"]) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_imported_and_is_no_module(name: str) -> None:
    assert not isinstance(getattr(mirror_graph, name), ModuleType)


@pytest.mark.parametrize("name", [name for name in PUBLIC if not is_literal(name)])
def test_every_type_and_error_that_a_public_name_mentions_is_public(name: str) -> None:
    public = [getattr(mirror_graph, other) for other in PUBLIC]
    assert [found for found in mentioned_types(name) if found not in public] == []
    assert errors_in_docstrings(name) - {"RuntimeError"} <= set(PUBLIC)


def test_completion_shows_the_public_names_without_loading_langgraph() -> None:
    finished = subprocess.run([sys.executable, "-c", COMPLETE], capture_output=True, text=True, check=True)
    names, loaded = finished.stdout.split("\n")[:2]
    assert set(PUBLIC) <= set(names.split())
    assert loaded == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mirror_graph.nothing  # type: ignore[attr-defined]  # the mistake


@pytest.mark.parametrize("graph", [mirror, talker, thinker], ids=lambda graph: graph.name)
def test_a_server_describes_every_setting_of_a_run(graph: Any) -> None:
    properties = graph.get_context_jsonschema()["properties"]
    assert set(properties) == set(MirrorContext.__dataclass_fields__)
    assert [name for name, schema in properties.items() if not schema.get("description")] == []


def test_a_server_states_the_range_that_a_setting_is_held_to() -> None:
    schema = talker.get_context_jsonschema()
    assert schema is not None
    for name, least, most in RANGES:
        declared = schema["properties"][name]
        number = declared.get("anyOf", [declared])[0]
        assert (number["minimum"], number["maximum"]) == (least, most)
        wrong: list[dict[str, Any]] = [{name: least - 1}, {name: most + 1}]
        for changes in wrong:
            with pytest.raises(mirror_graph.ConfigurationError, match=name):
                MirrorContext(**changes)
        edges: list[dict[str, Any]] = [{name: least}, {name: most}]
        assert [MirrorContext(**changes) for changes in edges]


RANGES = [
    ("temperature", 0, 2),
    ("narrative_tokens", 50, 3_000),
    ("monologue_tokens", 500, 40_000),
    ("window_tokens", 500, 128_000),
    ("talker_timeout", 0.001, 3_600),
    ("thinker_timeout", 0.001, 3_600),
    ("think_after", 0, 3_600),
    ("max_lag", 1, 100),
    ("thread_tokens", 0, 10**12),
]
