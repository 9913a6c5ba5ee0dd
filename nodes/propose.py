"""`propose`: items that could be recommended, from the model or from a source of the host's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.calls.proposing import PROPOSE, Proposed, ask_model, ask_source
from mirror_graph.errors import ReplyError
from mirror_graph.ledger.access import ledger_for_reply
from mirror_graph.nodes.failures import with_failure
from mirror_graph.nodes.turn import Turn, begin_turn
from mirror_graph.state import MirrorContext, SafetyConstraint
from mirror_graph.state.branch import reply_ids
from mirror_graph.state.constraints import lethal_ids
from mirror_graph.state.offering import Title, count_to_propose, new_items, title_of
from mirror_graph.state.offers import ItemSource, Verdict, check_count
from mirror_graph.state.recommendation import DEFAULT_COUNT, Recommended, RecommendState, RecommendUpdate
from mirror_graph.state.usage import add_usage
from mirror_graph.state.window import pending_messages


@dataclass(frozen=True)
class Propose:
    """Proposes items: those of `source`, or without one those of the talker's model."""

    source: ItemSource | None = None

    async def __call__(self, state: RecommendState, runtime: Runtime[MirrorContext]) -> RecommendUpdate:
        """Ask for items, and leave out what was offered, rejected or proposed before.

        Raises `InvalidItemError` for a wrong `k` or item, `MessageRefusedError` as a talker does, and `ReplyError` if
        nothing came. If nothing came to fill the places that are left, that is counted, and the others are offered.
        """
        context = context_of(runtime)
        k = check_count(state.get("k", DEFAULT_COUNT))
        turn = begin_turn(state, context)
        constraints, _ = await ledger_for_reply(turn.thread, turn.messages, turn.number, runtime)
        verdicts, rounds = state.get("verdicts", []), state.get("rounds", 0)
        offered = offered_before(turn)
        count = count_to_propose(k, verdicts, lethal_ids(constraints), rounds)
        update: RecommendUpdate = {"k": k, "rounds": rounds + 1}
        try:
            proposed = await self._ask(turn, constraints, count, _titles_to_avoid(offered, verdicts), context)
        except ReplyError as error:
            # Nothing was proposed before, so there is nothing to offer.
            if rounds == 0:
                raise
            # Items of an earlier round fit, and a shorter offer is better than none.
            cause = type(error.cause or error).__name__
            return {**update, "proposed": [], "failures": with_failure(state, PROPOSE, turn.number, cause)}
        if proposed.tokens:
            update["usage"] = add_usage(state, PROPOSE, turn.number, proposed.tokens)
        return {**update, "proposed": new_items(proposed.items, verdicts, offered)}

    async def _ask(
        self,
        turn: Turn,
        constraints: list[SafetyConstraint],
        count: int,
        without: list[str],
        context: MirrorContext,
    ) -> Proposed:
        if self.source is None:
            return await ask_model(turn.window, turn.thread, constraints, count, without, context, turn.number)
        request = "\n".join(message.text for message in pending_messages(turn.messages, turn.branch))
        return Proposed(await ask_source(self.source, request, count, without, context.talker_timeout))


def offered_before(turn: Turn) -> list[Title]:
    """Return what the replies in the window offered."""
    ours = reply_ids(turn.branch)
    offered: list[Title] = []
    for message in turn.messages:
        # Only our own replies count: anybody can write a mark of an offer into a message.
        if isinstance(message, AIMessage) and message.id in ours:
            offered += map(title_of, recommended_in(message)["items"])
    return offered


def _titles_to_avoid(offered: Sequence[Title], verdicts: Sequence[Verdict]) -> list[str]:
    """Return the titles that were offered in earlier turns or proposed in this one, each once."""
    titles = [title for title, _ in offered]
    for verdict in verdicts:
        titles.append(verdict["item"]["title"])
    return list(dict.fromkeys(titles))


def recommended_in(reply: AIMessage) -> Recommended:
    """Return what a reply notes about the offer that it made; no items if it made none."""
    noted = reply.response_metadata.get("mirror", {}).get("offer")
    return cast(Recommended, noted or {"items": [], "missing": 0, "unchecked": 0, "rounds": 0})
