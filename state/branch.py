"""Which answered turns a conversation consists of now, and how a mind of another branch is taken back to it.

An edit, a regenerated reply, a fork or a cleared chat leaves replies behind that are no longer part of the
conversation. A mind that has read such a reply must not shape the next one.
"""

from collections.abc import Container, Mapping, Sequence
from typing import TypeVar, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph.state.alignment import is_summary
from mirror_graph.state.reducers import BRANCH_LIMIT, NOTHING_READ
from mirror_graph.state.schema import MindState, MirrorState
from mirror_graph.state.validation import TURN_LIMIT
from mirror_graph.state.values import AnsweredTurn, MonologueEntry, Narrative, SafetyConstraint

_Thread = TypeVar("_Thread", bound=MirrorState)


def turn_of(reply: AIMessage) -> int | None:
    """Return the turn that a reply of MIRROR is marked with, or None if it carries no such mark."""
    mark = reply.response_metadata.get("mirror")
    turn = mark.get("turn") if isinstance(mark, dict) else None
    # A client can write anything here, so a mark that no turn of ours can bear is none.
    return turn if type(turn) is int and 0 < turn < TURN_LIMIT else None


def current_branch(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[AnsweredTurn]:
    """Return the answered turns of the conversation as it stands, oldest first.

    `branch` is what the thread recorded with its last reply. Of it, those turns count whose replies are in `messages`
    or had left the window before them.
    """
    recorded = {answered["reply"]: answered for answered in branch}
    if not branch:
        # A thread of an earlier release, or a conversation that a caller handed over with our replies in it.
        marked = [(turn_of(reply), reply.id or "") for reply in _replies(messages)]
        return [{"turn": turn, "reply": reply_id} for turn, reply_id in marked if turn]
    standing = [recorded[reply.id] for reply in _replies(messages) if reply.id in recorded]
    if not standing:
        if any(map(is_summary, messages)):
            return list(branch)  # the replies have left the window, and a summary stands in for them
        # The first message of the window is to be answered again: the turns before its own had left the window.
        # Else the chat was cleared, because the last exchange never leaves a window by itself.
        return list(branch[: _place_of_first_message(messages, branch)])
    departed = list(branch[: list(branch).index(standing[0])])
    return [*departed, *standing]


def _place_of_first_message(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> int:
    """Return the place in `branch` of the turn that answered the first user message, or 0 if no turn did."""
    first = next((message.id for message in messages if isinstance(message, HumanMessage)), None)
    return next((place for place, answered in enumerate(branch) if first in answered.get("asked", [])), 0)


def extend_branch(
    branch: Sequence[AnsweredTurn], turn: int, reply_id: str, asked: Sequence[str] = ()
) -> list[AnsweredTurn]:
    """Return `branch` with one more answered turn, at most `BRANCH_LIMIT` of them.

    `asked` are the ids of the messages that the reply answers.
    """
    answered: AnsweredTurn = {"turn": turn, "reply": reply_id}
    if asked:
        answered["asked"] = list(asked)
    return [*branch, answered][-BRANCH_LIMIT:]


def reply_ids(branch: Sequence[AnsweredTurn]) -> set[str]:
    """Return the ids of the replies of a branch."""
    return {answered["reply"] for answered in branch}


def last_turn(branch: Sequence[AnsweredTurn]) -> int:
    """Return the turn of the last reply, 0 before the first."""
    return branch[-1]["turn"] if branch else 0


def position_of(read: AnsweredTurn, branch: Sequence[AnsweredTurn]) -> int | None:
    """Return how many turns of `branch` have been read, or None if `read` is a turn of another branch."""
    for position, answered in enumerate(branch):
        same_turn = not read["reply"] and answered["turn"] == read["turn"]  # a mind of schema 1 names no reply
        if answered["reply"] == read["reply"] or same_turn:
            return position + 1
    if read["turn"] == 0:
        return 0
    # A full record has lost its beginning, so an earlier turn may be one of those that it lost.
    return 0 if len(branch) == BRANCH_LIMIT and read["turn"] < branch[0]["turn"] else None


def is_on_branch(mind: MindState, branch: Sequence[AnsweredTurn]) -> bool:
    """Say whether everything that `mind` has read is still part of the conversation."""
    read = read_turn(mind)
    return mind["turn"] == read["turn"] and position_of(read, branch) is not None


def read_turn(mind: MindState) -> AnsweredTurn:
    """Return the turn up to which `mind` has read."""
    return mind["read"] or NOTHING_READ  # an empty mapping before the first pass


def lag_of(mind: MindState, branch: Sequence[AnsweredTurn]) -> int:
    """Return the number of answered turns that `mind` has not read. Never negative."""
    read = read_turn(mind)
    position = position_of(read, branch)
    if position == 0 and branch and branch[0]["turn"] > 1 and len(branch) == BRANCH_LIMIT:
        return branch[-1]["turn"] - read["turn"]  # the record has lost its beginning
    return len(branch) - (position or 0)


def rewind(
    mind: MindState,
    branch: Sequence[AnsweredTurn],
    messages: Sequence[AnyMessage],
    narratives: Sequence[Narrative] = (),
) -> MindState:
    """Return `mind` as it was when it had read only turns of `branch`.

    `narratives` are its kept versions, oldest first; without a fitting one the narrative is empty, and the thoughts
    of that moment stand in for it. A constraint that was stated only in words which are not among `messages` any more
    is superseded. If the user states it again, it holds again.
    """
    monologue = [passage for passage in mind["monologue"] if _end_of(passage, branch)]
    versions = [version for version in narratives if _end_of(version, branch)]
    ends = [_end_of(passage, branch) for passage in monologue] + [_end_of(version, branch) for version in versions]
    read = max((end for end in ends if end), key=lambda answered: answered["turn"], default=NOTHING_READ)
    given_up = [passage for passage in mind["monologue"] if not _end_of(passage, branch)]
    abandoned = {message for passage in given_up for message in passage.get("messages", [])}
    texts = {message.id or "": message.text for message in messages}
    departed = _departed_turns(messages, branch)
    return {
        **mind,
        "narrative": versions[-1] if versions else {"turn": 0, "text": ""},
        "thoughts": monologue[-1]["thoughts"] if monologue else [],
        "monologue": monologue,
        "constraints": [
            _superseded(entry) if _is_withdrawn(entry, read["turn"], departed, abandoned, texts) else entry
            for entry in mind["constraints"]
        ],
        "turn": read["turn"],
        "read": read,
    }


def _departed_turns(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> Container[int]:
    """Return the turns of `branch` whose messages are not among `messages` any more, so that no edit reaches them."""
    replies = {message.id for message in messages}
    standing = next((place for place, answered in enumerate(branch) if answered["reply"] in replies), len(branch))
    turns = {answered["turn"] for answered in branch[:standing]}
    lost = range(branch[0]["turn"]) if len(branch) == BRANCH_LIMIT else range(0)  # a full record loses its beginning
    return turns | set(lost)


def _is_withdrawn(
    entry: SafetyConstraint, read: int, departed: Container[int], abandoned: Container[str], texts: Mapping[str, str]
) -> bool:
    """Say whether the only message that stated a constraint is no longer part of the conversation.

    `abandoned` are the ids of the messages that the mind has read on the abandoned branch, and `texts` the words of
    the messages that the conversation holds, by id: an edited message keeps its id, but not its words. `departed`
    are the turns whose messages are held no more.
    """
    message = entry["source"]["message"]
    if entry["status"] == "superseded" or message not in abandoned:
        return False  # stated in a message that stands, in another conversation, or edited by the user themselves
    if entry["source"]["quote"] in texts.get(message, ""):
        return False  # only the reply to it was given up
    if entry["source"]["turn"] in departed:
        return False  # the message has left the window since, and was read in the same pass as a later one
    return entry["first_turn"] > read  # else an earlier message stated it too


def _end_of(piece: MonologueEntry | Narrative, branch: Sequence[AnsweredTurn]) -> AnsweredTurn | None:
    """Return the turn of `branch` up to which a piece of a mind has read, or None if it read another branch."""
    for answered in branch:
        # What an earlier release wrote names no reply.
        if piece.get("reply") == answered["reply"] or ("reply" not in piece and piece["turn"] == answered["turn"]):
            return answered
    return None


def _superseded(entry: SafetyConstraint) -> SafetyConstraint:
    source = {
        **entry["source"],
        "recorded_at": entry["source"]["recorded_at"] + 0.001,
    }  # later than itself, so that it stays superseded
    return cast(SafetyConstraint, {**entry, "status": "superseded", "source": source})


def after_other_branch(branch: Sequence[AnsweredTurn], turn: int) -> list[AnsweredTurn]:
    """Return `branch` with its last turn numbered after `turn`, the last that the mind read on another branch.

    What is made of the turn is then newer than all that was made of the abandoned branch, wherever the two merge.
    """
    last = branch[-1]
    return [*branch[:-1], {**last, "turn": max(last["turn"], turn + 1)}]


def on_branch(state: _Thread, branch: Sequence[AnsweredTurn], narratives: Sequence[Narrative] = ()) -> _Thread:
    """Return `state` with its mind taken back to `branch`, or `state` itself if the mind is on it."""
    if is_on_branch(state, branch):
        return state
    return cast(_Thread, {**state, **rewind(state, branch, state["messages"], narratives)})


def _replies(messages: Sequence[AnyMessage]) -> list[AIMessage]:
    return [message for message in messages if isinstance(message, AIMessage)]
