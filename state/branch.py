"""Which answered turns a conversation consists of now, and how a mind of another branch is taken back to it.

An edit, a regenerated reply, a fork or a cleared chat leaves replies behind that are no longer part of the
conversation. A mind that has read such a reply must not shape the next one.
"""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple, TypeVar, cast

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
    # A thread of an earlier release, or a conversation that a caller handed over with our replies in it.
    if not branch:
        return _marked_turns(messages)
    recorded = {answered["reply"]: answered for answered in branch}
    standing = [recorded[reply.id] for reply in _replies(messages) if reply.id in recorded]
    if standing:
        departed = branch[: branch.index(standing[0])]
        return [*departed, *standing]
    # The replies have left the window, and a summary stands in for them.
    if any(map(is_summary, messages)):
        return list(branch)
    # The first message of the window is to be answered again: the turns before its own had left the window.
    # Otherwise the chat was cleared, because the last exchange never leaves a window by itself.
    return list(branch[: _place_of_first_message(messages, branch)])


def _marked_turns(messages: Sequence[AnyMessage]) -> list[AnsweredTurn]:
    """Return the turns that the replies among `messages` are marked with."""
    turns: list[AnsweredTurn] = []
    for reply in _replies(messages):
        turn = turn_of(reply)
        if turn:
            turns.append({"turn": turn, "reply": reply.id or ""})
    return turns


def _place_of_first_message(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> int:
    """Return the place in `branch` of the turn that answered the first user message, or 0 if no turn did."""
    first = next((message.id for message in messages if isinstance(message, HumanMessage)), None)
    for place, answered in enumerate(branch):
        if first in answered.get("asked", []):
            return place
    return 0


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
    for count, answered in enumerate(branch, 1):
        if answered["reply"] == read["reply"]:
            return count
        # A mind of schema 1 names no reply, so its turn alone has to do.
        if not read["reply"] and answered["turn"] == read["turn"]:
            return count
    # Nothing has been read, which is true of every branch.
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
    count = position_of(read, branch)
    # The record has lost its beginning, so only the numbers of the turns say how far the mind is behind.
    if count == 0 and branch and branch[0]["turn"] > 1 and len(branch) == BRANCH_LIMIT:
        return branch[-1]["turn"] - read["turn"]
    return len(branch) - (count or 0)


def rewind(
    mind: MindState,
    branch: Sequence[AnsweredTurn],
    messages: Sequence[AnyMessage],
    narratives: Sequence[Narrative] = (),
) -> MindState:
    """Return `mind` as it was when it had read only turns of `branch`.

    `narratives` are its stored versions, oldest first; without a fitting one the narrative is empty, and the thoughts
    of that moment stand in for it. A constraint that was stated only in words which are not among `messages` any more
    is superseded. If the user states it again, it holds again.
    """
    ends: list[AnsweredTurn] = []
    monologue: list[MonologueEntry] = []
    abandoned: set[str] = set()
    for passage in mind["monologue"]:
        end = _end_of(passage, branch)
        if end is None:
            abandoned.update(passage.get("messages", []))
        else:
            monologue.append(passage)
            ends.append(end)
    narrative: Narrative = {"turn": 0, "text": ""}
    for version in narratives:
        end = _end_of(version, branch)
        if end is not None:
            narrative = version
            ends.append(end)
    read = max(ends, key=lambda answered: answered["turn"], default=NOTHING_READ)
    edit = _Edit(
        read=read["turn"],
        departed=_departed_turns(messages, branch),
        abandoned=abandoned,
        texts={message.id or "": message.text for message in messages},
    )
    return {
        **mind,
        "narrative": narrative,
        "thoughts": monologue[-1]["thoughts"] if monologue else [],
        "monologue": monologue,
        "constraints": _without_withdrawn(mind["constraints"], edit),
        "turn": read["turn"],
        "read": read,
    }


class _Edit(NamedTuple):
    """What an edit, a regenerated reply or a fork leaves of a conversation.

    `read` is the last turn that the mind has read and that still stands. `departed` are the turns whose messages are
    held no more. `abandoned` are the ids of the messages that the mind has read on the abandoned branch. `texts` are
    the words of the messages that the conversation holds, by id: an edited message keeps its id, but not its words.
    """

    read: int
    departed: Container[int]
    abandoned: Container[str]
    texts: Mapping[str, str]


def _without_withdrawn(constraints: Sequence[SafetyConstraint], edit: _Edit) -> list[SafetyConstraint]:
    """Return the constraints with those superseded whose only statement was edited away."""
    after: list[SafetyConstraint] = []
    for constraint in constraints:
        after.append(_superseded(constraint) if _is_withdrawn(constraint, edit) else constraint)
    return after


def _departed_turns(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> Container[int]:
    """Return the turns of `branch` whose messages are not among `messages` any more, so that no edit reaches them."""
    replies = {message.id for message in messages}
    departed: set[int] = set()
    # A full record has lost its beginning: whatever came before it has departed too.
    if len(branch) == BRANCH_LIMIT:
        departed.update(range(branch[0]["turn"]))
    for answered in branch:
        if answered["reply"] in replies:
            break
        departed.add(answered["turn"])
    return departed


def _is_withdrawn(constraint: SafetyConstraint, edit: _Edit) -> bool:
    """Say whether the only message that stated a constraint is no longer part of the conversation."""
    source = constraint["source"]
    # History is never withdrawn.
    if constraint["status"] == "superseded":
        return False
    # Stated in a message that stands, in another conversation, or edited by the user themselves.
    if source["message"] not in edit.abandoned:
        return False
    # The message stands with its words: only the reply to it was given up.
    if source["quote"] in edit.texts.get(source["message"], ""):
        return False
    # The message has left the window since, and was read in the same pass as a later one. No edit reaches it.
    if source["turn"] in edit.departed:
        return False
    # What was first stated in a turn that still stands was stated by an earlier message too.
    return constraint["first_turn"] > edit.read


def _end_of(piece: MonologueEntry | Narrative, branch: Sequence[AnsweredTurn]) -> AnsweredTurn | None:
    """Return the turn of `branch` up to which a piece of a mind has read, or None if it read another branch."""
    for answered in branch:
        # What an earlier release wrote names no reply.
        if piece.get("reply") == answered["reply"] or ("reply" not in piece and piece["turn"] == answered["turn"]):
            return answered
    return None


def _superseded(constraint: SafetyConstraint) -> SafetyConstraint:
    # Later than itself, so that it stays superseded wherever the two versions are merged.
    at = constraint["source"]["recorded_at"] + 0.001
    return {**constraint, "status": "superseded", "source": {**constraint["source"], "recorded_at": at}}


def after_other_branch(branch: Sequence[AnsweredTurn], turn: int) -> list[AnsweredTurn]:
    """Return `branch` with its last turn numbered after `turn`, the last that the mind read on another branch.

    What a pass makes of the turn is then newer than everything of the abandoned branch, wherever the two merge.
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
