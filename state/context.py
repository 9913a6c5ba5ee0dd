"""The choices of a run: which models, which way of thinking, which budgets."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import WithJsonSchema

from mirror_graph.errors import ConfigurationError
from mirror_graph.model_names import EXPECTED_CHAT, split_chat_name, split_embeddings_name
from mirror_graph.state.reducers import MESSAGE_LIMIT, MESSAGES_LIMIT, MONOLOGUE_LIMIT, NARRATIVE_LIMIT
from mirror_graph.state.text import is_unicode
from mirror_graph.state.tokens import count_tokens

Relevance = Literal["talker", "anticipate", "check"]

Thinking = Literal["parallel", "joint", "synthesis_only", "monologue_only", "off"]

Model = Annotated[str | BaseChatModel, WithJsonSchema({"type": "string"})]
"""A chat model: its name, or the object itself. A server, which Studio asks for a schema, takes names only."""

ALL_THINKERS = ("goals", "reasoning", "memory")
MODEL_FIELDS = ("talker_model", "thinker_model", "synthesis_model")
THINKERS_LIMIT = 8
THINKER_LIMIT = 1_000
DIRECTIVE_LIMIT = 2_000
"""Hard bounds: the number of thinkers, and in tokens the text of one and of the directive."""

OTHER_COMPONENTS = {
    "talker",
    "synthesis",
    "joint",
    "anticipation",
    "check",
    "recall",
    "schedule",
    "ledger",
    "embeddings",
}
"""What failures and usage are counted under besides the thinkers."""


@dataclass(frozen=True)
class MirrorContext:
    """How a run talks and thinks. Every default is valid; every budget is in tokens, every time in seconds.

    `thinking`: `parallel` (a call a thinker), `joint` (one call for all of them, as the paper),
    `synthesis_only` (the narrative straight from the exchange), `monologue_only` (thoughts, no narrative)
    or `off`. `thinkers`: names of thinkers that ship with the package, or `"name: what it thinks about"`
    for one of your own, 8 at most. A model is a name such as `"openai:gpt-4o-mini"`, or a chat
    model object, which is asked as it is: `temperature` and the bounds on an answer do not reach it, and no server
    takes it. A model of `None` is the talker's. `temperature` of `None` is not sent, so that
    the model uses its own. `instructions` is the host's own system text.
    `talker_timeout` bounds the wait for the next piece of a reply, `thinker_timeout` a whole inner call.
    Once a thread's thinking has taken `thread_tokens`, it stops, and replies go on from the last mind.

    `relevance` says who decides which entries of the ledger a message touches: the talker itself, a matcher
    that uses what thinking has anticipated between turns, or a short model call before the reply. `embeddings`
    names an embeddings model that the matcher is to use beside it (`openai:NAME` or `PROVIDER:NAME`).
    `directive` replaces what the talker is told to do about an entry that is touched.

    Raises `ConfigurationError` for a value of the wrong type or out of its range, and for a name that names no model.
    """

    talker_model: Model = "openai:gpt-4o-mini"
    thinker_model: Model | None = None
    synthesis_model: Model | None = None
    temperature: float | None = 0.7
    thinking: Thinking = "parallel"
    thinkers: tuple[str, ...] = ALL_THINKERS
    instructions: str = ""
    relevance: Relevance = "anticipate"
    embeddings: str = ""
    directive: str | None = None
    narrative_tokens: int = 800
    monologue_tokens: int = 10_000
    window_tokens: int = 20_000
    talker_timeout: float = 60.0
    thinker_timeout: float = 60.0
    think_after: float = 1.0
    max_lag: int = 3
    thread_tokens: int | None = None
    user_id: str | None = None

    def __post_init__(self) -> None:
        self._check_models()
        if self.thinking not in get_args(Thinking):
            raise ConfigurationError(
                f"unknown thinking {self.thinking!r}: expected one of {', '.join(get_args(Thinking))}"
            )
        if self.relevance not in get_args(Relevance):
            raise ConfigurationError(
                f"unknown relevance {self.relevance!r}: expected one of {', '.join(get_args(Relevance))}"
            )
        self._check("narrative_tokens", 50, NARRATIVE_LIMIT)
        self._check("monologue_tokens", 500, MONOLOGUE_LIMIT)
        self._check("window_tokens", 500, MESSAGES_LIMIT // 2)
        self._check("talker_timeout", 0.001, 3_600)
        self._check("thinker_timeout", 0.001, 3_600)
        self._check("think_after", 0, 3_600)
        self._check("max_lag", 1, 100)
        if self.temperature is not None:
            self._check("temperature", 0, 2)
        if self.thread_tokens is not None:
            self._check("thread_tokens", 0, 10**12)
        _check_text("instructions", self.instructions, MESSAGE_LIMIT)
        if self.directive is not None:
            _check_text("directive", self.directive, DIRECTIVE_LIMIT)
        self._check_thinkers()
        if self.user_id is not None:
            check_user_id(self.user_id)

    @property
    def thinker_names(self) -> tuple[str, ...]:
        """The thinkers' names, without what they think about."""
        return tuple(thinker.partition(":")[0].strip() for thinker in self.thinkers)

    def _check(self, field: str, least: float, most: float) -> None:
        value = getattr(self, field)
        whole = field.endswith("_tokens") or field == "max_lag"
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else int | float)
            or not least <= value <= most
        ):
            kind = "a whole number" if whole else "a number"
            raise ConfigurationError(f"{field} is {value!r}: expected {kind} from {least:,} to {most:,}")

    def _check_models(self) -> None:
        _check_model("talker_model", self.talker_model)
        for field in MODEL_FIELDS[1:]:
            if getattr(self, field) is not None:
                _check_model(field, getattr(self, field))
        if self.embeddings != "":
            split_embeddings_name(self.embeddings)

    def _check_thinkers(self) -> None:
        if not isinstance(self.thinkers, tuple | list):
            raise ConfigurationError(f"thinkers are {self.thinkers!r}: expected a list of names")
        for thinker in self.thinkers:
            _check_text("a thinker", thinker, THINKER_LIMIT)
        object.__setattr__(self, "thinkers", tuple(self.thinkers))  # a server hands over a JSON list
        names = self.thinker_names
        if not names or len(set(names)) < len(names) or len(names) > THINKERS_LIMIT:
            raise ConfigurationError(
                f"thinkers are {self.thinkers!r}: expected one or more, {THINKERS_LIMIT} at most, each name once"
            )
        for thinker, name in zip(self.thinkers, names, strict=True):
            _check_thinker(thinker, name)


def context_as_json(context: MirrorContext) -> dict[str, Any]:
    """Return a context as a server takes it.

    Raises `ConfigurationError` if one of its models is an object: no object can be sent.
    """
    for field in MODEL_FIELDS:
        model = getattr(context, field)
        if isinstance(model, BaseChatModel):
            raise ConfigurationError(
                f"{field} is a {type(model).__name__} object, and a LangGraph server takes names only: "
                f"{EXPECTED_CHAT}; in the server's own process, register_model(NAME, model) returns a name for it"
            )
    return {field.name: getattr(context, field.name) for field in fields(context)}


def _check_model(field: str, model: object) -> None:
    if isinstance(model, BaseChatModel):
        return
    if isinstance(model, Runnable):
        has_tools = "tools" in getattr(model, "kwargs", {})
        advice = (
            "MIRROR's models call no tools: give the tools to an agent with MirrorMiddleware (mirror_graph.agents)"
            if has_tools
            else "set such options on the model itself"
        )
        raise ConfigurationError(
            f"{field} is a {type(model).__name__}{' with tools' if has_tools else ''}, "
            f"expected a name or a chat model: {advice}"
        )
    split_chat_name(model)


def check_user_id(user_id: object) -> None:
    """Raise `ConfigurationError` for what identifies no user: two users of it would share their facts."""
    if not isinstance(user_id, str) or not user_id.strip() or not is_unicode(user_id):
        raise ConfigurationError(
            f"user_id is {user_id!r}: expected a text that identifies one user, such as 'ana', or None for no user"
        )


def _check_thinker(thinker: str, name: str) -> None:
    _, colon, about = thinker.partition(":")
    if not name.isidentifier() or (colon and not about.strip()):
        raise ConfigurationError(f"unknown thinker {thinker!r}: expected a name, or 'name: what it thinks about'")
    if name in OTHER_COMPONENTS:
        raise ConfigurationError(f"a thinker cannot be named {name!r}: a part of MIRROR is; choose another name")
    if not colon and name not in ALL_THINKERS:
        raise ConfigurationError(
            f"unknown thinker {name!r}: expected one of {', '.join(ALL_THINKERS)}, or '{name}: what it thinks about'"
        )


def _check_text(field: str, value: object, limit: int) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{field} is {value!r}: expected a text")
    if not is_unicode(value):
        raise ConfigurationError(f"{field} holds half a character (a lone surrogate): expected valid Unicode")
    if (tokens := count_tokens(value)) > limit:
        raise ConfigurationError(f"{field} has {tokens:,} tokens: expected at most {limit:,}")
