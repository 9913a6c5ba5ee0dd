"""`talker`: the node that answers the user."""

import secrets

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.context_block import bounds_block, context_block
from mirror_graph.calls.model_call import context_of
from mirror_graph.calls.reply_prompt import reply_prompt
from mirror_graph.calls.reply_stream import REPLY_TOKENS, stream_reply
from mirror_graph.errors import ReplyError
from mirror_graph.guard import Rule
from mirror_graph.guard.talker import added_by_guard, failure_of_guard, guarded_talker
from mirror_graph.ledger.access import ledger_for_reply
from mirror_graph.models import ending, visible_model
from mirror_graph.nodes.turn import Turn, begin_turn, end_turn, mark_of
from mirror_graph.prompts import is_all_tags, render, strip_leading_tags
from mirror_graph.relevance.choose import Relevant, find_relevant, near_bounds, request_text
from mirror_graph.state import MirrorContext, MirrorState, MirrorUpdate, SafetyConstraint
from mirror_graph.state.usage import usage_of, usage_of_turn


async def talk(state: MirrorState, runtime: Runtime[MirrorContext], guard: Rule | None = None) -> MirrorUpdate:
    """Answer the user's words from the window and the mind, streaming from the first token.

    `guard` is a host's own rule for what is added to a reply.
    Raises `MessageRefusedError` if there is nothing to answer or a picture is too large, and `ReplyError` if no whole
    reply came; nothing is then saved but the user's own message.
    """
    context = context_of(runtime)
    turn = begin_turn(state, context)
    entries, away = await ledger_for_reply(turn.thread, turn.messages, turn.number, runtime)
    seen = await find_relevant(entries, turn.messages, context, turn.number, turn.branch)
    directive = context.directive or render("directive")
    # A fresh mark per turn: no text that was written earlier can pretend to be the block that holds the mind.
    mark = secrets.token_hex(4)
    # A small model speaks of whatever is listed, and declines for it. Its guard knows from the request what is touched,
    # and reads the reply all the same, so it need not see what the request leaves alone.
    is_opening = context.guard == "open"
    words = request_text(turn.messages, turn.branch)
    bounds = near_bounds(entries, seen, words) if is_opening else seen.in_domain
    inner = context_block(
        turn.thread,
        entries,
        seen.touched,
        directive,
        mark,
        seen.mentioned,
        seen.introduced,
        bounds,
        seen.unknown,
        lists_unrelated=not is_opening,
    )
    # A small model whose prompt speaks of an inner life and of dangers finds dangers where there are none.
    template = "small_talker" if is_opening and not inner else "talker"
    prompt = reply_prompt(turn.window, turn.branch, inner, context, template)
    model = visible_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)
    talker = guarded_talker(
        model,
        entries,
        seen,
        turn.messages,
        turn.branch,
        context,
        guard,
        opened_prompt=_opened_prompt(turn, entries, seen, mark, context) if is_opening else None,
    )
    whole = await stream_reply(talker, prompt, context, turn.number)
    added = added_by_guard(whole)
    # A small model may answer with our own block. Without it nothing is left to show.
    if is_all_tags(whole.text) and mark in whole.text.lower():
        raise ReplyError("the reply contained nothing but MIRROR's own tag", transient=True)
    noted = mark_of(turn, ending(whole))
    reply = AIMessage(
        strip_leading_tags(whole.text),
        id=whole.id,
        usage_metadata=whole.usage_metadata,
        response_metadata={**whole.response_metadata, "mirror": {**noted, "guarded": added} if added else noted},
    )
    usage = usage_of_turn(state, turn.number, usage_of(reply), seen.tokens, additions=int(bool(added)))
    failed = {**seen.failures, "recall": away, "guard": failure_of_guard(whole)}
    return end_turn(state, turn, reply, usage, failed, runtime)


def _opened_prompt(
    turn: Turn, entries: list[SafetyConstraint], seen: Relevant, mark: str, context: MirrorContext
) -> list[BaseMessage]:
    """Lay out what a model is asked that goes on from the guard's own words.

    Those name what is touched and advise against it, and a small model that reads it once more, with an order about it,
    starts over. So of the mind there is only what else may matter to what it recommends instead.
    """
    others = seen.in_domain | seen.unknown | seen.mentioned
    if seen.touched is None:
        others = frozenset(entry["id"] for entry in entries)
    return reply_prompt(turn.window, turn.branch, bounds_block(entries, others, mark), context)
