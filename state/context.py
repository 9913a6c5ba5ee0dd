"""The choices of a run: which models, which way of thinking, which budgets."""

from dataclasses import dataclass
from typing import Literal, get_args

from mirror_graph.errors import ConfigurationError
from mirror_graph.state.reducers import MESSAGES_LIMIT, MONOLOGUE_LIMIT, NARRATIVE_LIMIT

Relevance = Literal["talker", "anticipate", "check"]

Thinking = Literal["parallel", "joint", "synthesis_only", "monologue_only", "off"]

ALL_THINKERS = ("goals", "reasoning", "memory")


@dataclass(frozen=True)
class MirrorContext:
    """How a run talks and thinks. Every default is valid; every budget is in tokens, every time in seconds.

    `thinking`: `parallel` (a call a thinker), `joint` (one call for all of them, as the paper),
    `synthesis_only` (the narrative straight from the exchange), `monologue_only` (thoughts, no narrative)
    or `off`. `thinkers`: names of thinkers that ship with the package, or `"name: what it thinks about"`
    for one of your own. A model of `None` is the talker's. `instructions` is the host's own system text.
    `talker_timeout` bounds the wait for the next piece of a reply, `thinker_timeout` a whole inner call.
    Once a thread's thinking has taken `thread_tokens`, it stops, and replies go on from the last mind.

    `relevance` says who decides which entries of the ledger a message touches: the talker itself, a matcher
    that uses what thinking has anticipated between turns, or a short model call before the reply. `embeddings`
    names an embeddings model that the matcher is to use beside it (`openai:NAME` or `PROVIDER:NAME`).
    `directive` replaces what the talker is told to do about an entry that is touched.

    Raises `ConfigurationError` for a value out of its range.
    """

    talker_model: str = "openai:gpt-4o-mini"
    thinker_model: str | None = None
    synthesis_model: str | None = None
    temperature: float = 0.7
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
        object.__setattr__(self, "thinkers", tuple(self.thinkers))  # a server hands over a JSON list
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
        self._check("temperature", 0, 2)
        if self.thread_tokens is not None:
            self._check("thread_tokens", 0, 10**12)
        self._check_thinkers()

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

    def _check_thinkers(self) -> None:
        names = self.thinker_names
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"thinkers are {self.thinkers!r}: expected one or more, each name once")
        for thinker, name in zip(self.thinkers, names, strict=True):
            if not name.isidentifier():
                raise ConfigurationError(
                    f"unknown thinker {thinker!r}: expected a name, or 'name: what it thinks about'"
                )
            if ":" not in thinker and name not in ALL_THINKERS:
                raise ConfigurationError(
                    f"unknown thinker {name!r}: expected one of {', '.join(ALL_THINKERS)}, "
                    f"or '{name}: what it thinks about'"
                )
