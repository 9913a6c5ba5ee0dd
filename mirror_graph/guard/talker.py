"""The talker's model, guarded by the constraints that hold in this run, and what the guard left in a reply."""

from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage

from mirror_graph.guard import GuardedModel, Rule
from mirror_graph.relevance.choose import Relevant, request_text
from mirror_graph.state import MirrorContext, SafetyConstraint
from mirror_graph.state.content import keep_newest_media
from mirror_graph.state.values import AnsweredTurn, Guarded


def guarded_talker(
    model: BaseChatModel,
    entries: Sequence[SafetyConstraint],
    seen: Relevant,
    messages: Sequence[AnyMessage],
    branch: Sequence[AnsweredTurn],
    context: MirrorContext,
    rule: Rule | None,
    opened_prompt: list[BaseMessage] | None = None,
) -> BaseChatModel:
    """Return the talker's model, guarded as the context chooses.

    `opened_prompt` is what it is asked instead, where the guard writes the first half of a sentence.
    """
    if context.guard == "off" or not entries:
        return model
    return GuardedModel.around(
        model,
        entries,
        guard=context.guard,
        guard_again=context.guard_again,
        rule=rule,
        request=request_text(messages, branch),
        touched=seen.touched,
        history=messages,
        opened_prompt=opened_prompt and keep_newest_media(opened_prompt),
    )


def added_by_guard(reply: AIMessage) -> list[Guarded]:
    """Return what the guard added to a reply."""
    return list(reply.response_metadata.get("mirror", {}).get("guarded", ()))


def failure_of_guard(reply: AIMessage) -> str:
    """Return the class of the error that kept the guard from reading a reply; `""` if there was none."""
    return str(reply.response_metadata.get("mirror", {}).get("guard_failure", ""))
