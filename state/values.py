"""The plain values of a mind, which JSON and msgpack can store."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class Tokens(TypedDict):
    """What one or more model calls took, in the provider's tokens; `cached` is part of `input`."""

    calls: int
    input: int
    output: int
    cached: int


class ComponentUsage(TypedDict):
    """The tokens of a component: of the whole thread (`total`) and of the last turn that it worked on (`latest`)."""

    total: Tokens
    turn: int
    latest: Tokens


class Failure(TypedDict):
    """How often a component failed, and the last time: in which turn, with which error class."""

    count: int
    turn: int
    error: str


class AnsweredTurn(TypedDict):
    """A turn that was answered: its number, and the id of the reply. No two turns of a thread share both.

    `asked` are the ids of the messages that the reply answers. What an earlier release wrote has none.
    """

    turn: int
    reply: str
    asked: NotRequired[list[str]]


class Exchange(TypedDict):
    """What both sides wrote in a turn, or in a part of one if others answered too.

    As a host stores it, an exchange that the window holds too has no words but the ids of its `messages`, the answer's
    last (`state/references.py`).
    """

    turn: int
    user: str
    reply: str
    messages: NotRequired[list[str]]


class Thought(TypedDict):
    """What one thinker thought about the exchanges up to `turn`."""

    thinker: str
    turn: int
    text: str


class MonologueEntry(TypedDict):
    """An entry of the monologue: the exchanges since the last one, and what was thought about them.

    `reply` is the id of its last reply. `messages` are the ids of the user's messages in it; only the newest entries
    have them.
    """

    turn: int
    exchanges: list[Exchange]
    thoughts: list[Thought]
    reply: NotRequired[str]
    messages: NotRequired[list[str]]


class Narrative(TypedDict):
    """The first-person text that a reply starts from, rebuilt from everything up to `turn`, whose reply is `reply`."""

    turn: int
    text: str
    reply: NotRequired[str]


Kind = Literal[
    "allergy",
    "intolerance",
    "phobia",
    "trauma",
    "medical",
    "physical",
    "medication",
    "addiction",
    "dietary",
    "boundary",
    "other",
]
Severity = Literal["life-threatening", "serious", "preference"]
Status = Literal["provisional", "active", "retracted", "superseded"]


class Source(TypedDict):
    """Where the latest version of a constraint comes from: the user's own words, to the letter.

    `message` is the id of the message, or `""` if it has none; `language` is an ISO 639-1 code or `""`;
    `recorded_at` is when it was recorded, in seconds since 1970, and 0 if it has only been scanned.
    """

    message: str
    turn: int
    quote: str
    language: str
    recorded_at: float


class SafetyConstraint(TypedDict):
    """A safety constraint of the user's, or of a person whom they named.

    `about` is the danger in the user's words ("peanuts"). `subject` is `"user"` or the person it concerns ("my
    sister"). A `provisional` one was found by the scanner, and no pass has read it yet. `first_turn` is the turn in
    which it was first stated. `triggers` are what brings it near, as anticipated: foods, places, acts, words.
    """

    id: str
    kind: Kind
    about: str
    severity: Severity
    subject: str
    status: Status
    source: Source
    first_turn: int
    triggers: NotRequired[list[str]]


class Guarded(TypedDict):
    """What the guard added to a reply for one constraint, by the constraint's id.

    `relations` are what matched, `words` the words that did so, of the user's request or the model's reply (`by`).
    `place` is `"note"`, `"opening"`, or `"replacement"` for a note that replaces the reply.
    """

    constraint: str
    relations: list[str]
    words: list[str]
    by: str
    place: str


class Notes(TypedDict):
    """What the memory thinker noted for the ledger in one pass, each item confirmed by the user's own words."""

    turn: int
    claims: list[SafetyConstraint]
    retractions: list[Source]
    false_alarms: list[str]
