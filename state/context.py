"""The choices of a run: which models, which way of thinking, which budgets."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_type_hints

from annotated_types import Ge, Le
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo

from mirror_graph.errors import ConfigurationError
from mirror_graph.model_names import EXPECTED_CHAT, TOOLS_ADVICE, split_chat_name, split_embeddings_name
from mirror_graph.state.reducers import MESSAGE_LIMIT, MESSAGES_LIMIT, MONOLOGUE_LIMIT, NARRATIVE_LIMIT
from mirror_graph.state.text import is_unicode
from mirror_graph.state.tokens import count_tokens

Relevance = Literal["talker", "anticipate", "check"]

GuardMode = Literal["note", "open", "hold", "off"]

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
    "guard",
}
"""What failures and usage are counted under besides the thinkers."""


@dataclass(frozen=True)
class MirrorContext:
    """How a run talks and thinks.

    Every default is valid. Budgets are in tokens, times in seconds.

    Raises `ConfigurationError` if a value has the wrong type or is out of its range, and if a name names no model.
    """

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)  # a server's schema describes each field

    talker_model: Model = "openai:gpt-4o-mini"
    """The model that answers the user: `openai:NAME`, `local:NAME`, `scripted:NAME`, `PROVIDER:NAME` or an object.

    A chat model object is called as it is: `temperature` and the limits on an answer do not reach it. A server takes
    names only.
    """

    thinker_model: Model | None = None
    """The model of the thinkers. None uses the talker's model."""

    synthesis_model: Model | None = None
    """The model that writes the narrative. None uses the talker's model."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.7
    """The sampling temperature of every call, 0 to 2 as in OpenAI's API; 0.7 as in the paper.

    None sends no temperature, so the model uses its own.
    """

    thinking: Thinking = "parallel"
    """How a pass thinks.

    `parallel` makes one call per thinker. `joint` makes one call for all thinkers, as in the paper. `synthesis_only`
    writes the narrative straight from the exchanges. `monologue_only` keeps the thoughts and writes no narrative.
    `off` never thinks.
    """

    thinkers: tuple[str, ...] = ALL_THINKERS
    """Who thinks: 1 to 8 thinkers.

    Each is `goals`, `reasoning` or `memory` (the paper's three), or a thinker of your own, written
    `"name: what it thinks about"` in at most 1,000 tokens.
    """

    instructions: str = ""
    """The host's own system text for the talker, at most 32,000 tokens (the bound of one message)."""

    relevance: Relevance = "anticipate"
    """Who decides which constraints a message touches.

    `talker` leaves it to the talker. `anticipate` matches the message against relations and against triggers that
    were generated between turns. `check` makes one short model call before the reply.
    """

    embeddings: str = ""
    """The embeddings model that `anticipate` uses in addition: `openai:NAME` or `PROVIDER:NAME`. Empty for none."""

    directive: str | None = None
    """What the talker must do about a constraint that is touched, at most 2,000 tokens. None uses the built-in text."""

    guard: GuardMode = None  # type: ignore[assignment]  # chosen in __post_init__
    """What code does for a reply that touches a severe constraint.

    `note` adds a note if the reply does not name the constraint. `open` writes the first sentence and lets the model
    go on. `hold` shows each sentence once it is checked, and asks once more for an unsafe reply. `off` does nothing.
    Without a value it is `open` for a `local:` talker and `note` for any other.
    """

    guard_again: Annotated[int, Field(ge=0, le=1_000)] = 5
    """How many turns a constraint that was noted is left alone, unless it is life-threatening and comes up again."""

    narrative_tokens: Annotated[int, Field(ge=50, le=NARRATIVE_LIMIT)] = 800
    """The budget of the narrative in tokens. 3,000, the maximum, is the paper's output limit; 800 is our choice."""

    monologue_tokens: Annotated[int, Field(ge=500, le=MONOLOGUE_LIMIT)] = 10_000
    """The budget of the monologue in tokens: what the thinkers read of their earlier thoughts. 10,000 as in the paper.

    Past it the oldest entries are dropped until 80 % of it is left.
    """

    window_tokens: Annotated[int, Field(ge=500, le=MESSAGES_LIMIT // 2)] = 20_000
    """The budget of the messages that the talker reads word for word, in tokens. 20,000 as in the paper.

    Past it the oldest turns are dropped, after they have been thought about. While thinking is behind, the window may
    grow to twice this budget. One message may take half of it.
    """

    talker_timeout: Annotated[float, Field(ge=0.001, le=3_600)] = 60.0
    """How many seconds the talker may wait for the next piece of a reply, the first included. 60 is our choice."""

    thinker_timeout: Annotated[float, Field(ge=0.001, le=3_600)] = 60.0
    """How many seconds one whole call of a thinker, the synthesis or a check may take. 60 is our choice."""

    think_after: Annotated[float, Field(ge=0, le=3_600)] = 1.0
    """How many seconds thinking waits after a reply, so that one pass covers a burst of messages.

    1 is our choice.
    """

    max_lag: Annotated[int, Field(ge=1, le=100)] = 3
    """How many turns the mind may be behind before a new message no longer cancels the running pass.

    3 is our choice.
    """

    thread_tokens: Annotated[int, Field(ge=0, le=10**12)] | None = None
    """How many tokens, input and output, thinking may take per thread. None sets no limit.

    After that replies use the last mind.
    """

    user_id: str | None = None
    """Whose constraints the run reads and shares across conversations. None for no user.

    On a server with authentication the signed-in user takes precedence.
    """

    def __post_init__(self) -> None:
        self._check_models()
        _check_choice("thinking", self.thinking, get_args(Thinking))
        _check_choice("relevance", self.relevance, get_args(Relevance))
        self._choose_guard()
        _check_choice("guard", self.guard, get_args(GuardMode))
        for field, allowed in _ranges().items():
            _check_range(field, getattr(self, field), allowed)
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

    def _choose_guard(self) -> None:
        """Open the replies of local models, which are small, unless the caller has chosen."""
        if self.guard is None:
            is_local = isinstance(self.talker_model, str) and self.talker_model.startswith("local:")
            object.__setattr__(self, "guard", "open" if is_local else "note")

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
            raise ConfigurationError(f"thinkers are {self.thinkers!r}: expected 1 to {THINKERS_LIMIT}, each name once")
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
        advice = TOOLS_ADVICE if has_tools else "set such options on the model itself"
        raise ConfigurationError(
            f"{field} is a {type(model).__name__}{' with tools' if has_tools else ''}, "
            f"expected a name or a chat model: {advice}"
        )
    split_chat_name(model)


def check_user_id(user_id: object) -> None:
    """Raise `ConfigurationError` for what identifies no user: two users with one id would share constraints."""
    if not isinstance(user_id, str) or not user_id.strip() or not is_unicode(user_id):
        raise ConfigurationError(
            f"user_id is {user_id!r}: expected a string that identifies one user, such as 'ana', or None for no user"
        )


class _Range(NamedTuple):
    least: float
    most: float
    is_whole: bool
    may_be_none: bool


@cache
def _ranges() -> dict[str, _Range]:
    """Return the range of each field that has one, as the fields' annotations declare it."""
    ranges: dict[str, _Range] = {}
    for field, hint in get_type_hints(MirrorContext, include_extras=True).items():
        may_be_none = type(None) in get_args(hint)
        annotated = get_args(hint)[0] if may_be_none else hint
        for declared in getattr(annotated, "__metadata__", ()):
            if isinstance(declared, FieldInfo):
                least, most = _bounds(declared)
                ranges[field] = _Range(least, most, get_args(annotated)[0] is int, may_be_none)
    return ranges


def _bounds(declared: FieldInfo) -> tuple[float, float]:
    """Return the least and the greatest value that a field declares."""
    least = most = 0.0
    for bound in declared.metadata:
        if isinstance(bound, Ge):
            least = cast(float, bound.ge)
        if isinstance(bound, Le):
            most = cast(float, bound.le)
    return least, most


def _check_range(field: str, value: object, allowed: _Range) -> None:
    if value is None and allowed.may_be_none:
        return
    numbers = (int,) if allowed.is_whole else (int, float)
    # True is an int to Python. A NaN fails the comparison.
    if isinstance(value, bool) or not isinstance(value, numbers) or not allowed.least <= value <= allowed.most:
        kind = "a whole number" if allowed.is_whole else "a number"
        raise ConfigurationError(f"{field} is {value!r}: expected {kind} from {allowed.least:,} to {allowed.most:,}")


def _check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"unknown {field} {value!r}: expected one of {', '.join(choices)}")


def _check_thinker(thinker: str, name: str) -> None:
    _, colon, about = thinker.partition(":")
    if not name.isidentifier() or (colon and not about.strip()):
        raise ConfigurationError(f"unknown thinker {thinker!r}: expected a name, or 'name: what it thinks about'")
    if name in OTHER_COMPONENTS:
        raise ConfigurationError(
            f"a thinker cannot be named {name!r}, because a component of MIRROR has this name: choose another one"
        )
    if not colon and name not in ALL_THINKERS:
        raise ConfigurationError(
            f"unknown thinker {name!r}: expected one of {', '.join(ALL_THINKERS)}, or '{name}: what it thinks about'"
        )


def _check_text(field: str, value: object, limit: int) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{field} is {value!r}: expected a string")
    if not is_unicode(value):
        raise ConfigurationError(f"{field} contains half a character (a lone surrogate): expected valid Unicode")
    if (tokens := count_tokens(value)) > limit:
        raise ConfigurationError(f"{field} has {tokens:,} tokens: expected at most {limit:,}")
