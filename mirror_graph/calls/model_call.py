"""One private model call: bounded in time, hidden from the user's stream, never half an answer."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from mirror_graph.errors import CallError, ConfigurationError, MirrorError, RefusalError
from mirror_graph.models import chat_model, ending, is_transient, without_reasoning
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.tokens import whole_sentences
from mirror_graph.state.usage import add_tokens, usage_of

log = logging.getLogger(__name__)

PRIVATE = ["nostream", "langsmith:nostream"]

REASONING_TOKENS = 8_192
"""What a model that reasons before it answers gets on top of its bound, which providers count its reasoning in."""

_reasoning_models: set[str] = set()  # names; the bound of a model object is its own

_Result = TypeVar("_Result")


class Answer(NamedTuple):
    """A model's answer, and the tokens that it took."""

    text: str
    tokens: Tokens


def context_of(runtime: Runtime[MirrorContext]) -> MirrorContext:
    """Return the run's context, or the defaults if the caller gave none.

    Raises `ConfigurationError` for a context of another type, such as a parent graph's.
    """
    context: object = runtime.context
    if context is None:
        return MirrorContext()
    if not isinstance(context, MirrorContext):
        raise ConfigurationError(
            f"the run's context is a {type(context).__name__}: in a parent graph with a context of its own, "
            "use `mirror_node(context=MirrorContext(...))` or `build_mirror(context=MirrorContext(...))`"
        )
    return context


def call_config(component: str, turn: int) -> RunnableConfig:
    """Name a model call for tracing. Only its component and turn: what was said stays out of metadata."""
    return {"run_name": component, "metadata": {"component": component, "turn": turn}}


def private_config(component: str, turn: int) -> RunnableConfig:
    """Name a model call, and keep its tokens out of every stream of the graph."""
    return {**call_config(component, turn), "tags": PRIVATE}


def inner_model(component: str, context: MirrorContext, max_tokens: int) -> BaseChatModel:
    """Return the model that `component` thinks with. Raises `CallError` if there is none of that name."""
    model = _model_of(component, context)
    room = REASONING_TOKENS if isinstance(model, str) and model in _reasoning_models else 0
    try:
        return chat_model(model, temperature=context.temperature, max_tokens=max_tokens + room)
    except MirrorError as error:
        raise _unusable(component, error) from error


def needs_room(
    component: str, context: MirrorContext, max_tokens: int, model: BaseChatModel, message: AIMessage
) -> bool:
    """Say whether `model` used up its bound before its answer began and is to be asked again with room to reason.

    From then on every call of that name has the room.
    """
    if ending(message) != "length" or message.tool_calls or without_reasoning(message.text).strip():
        return False
    name = _model_of(component, context)
    if not isinstance(name, str):
        return False
    _reasoning_models.add(name)
    return inner_model(component, context, max_tokens) is not model


async def ask(component: str, prompt: list[BaseMessage], context: MirrorContext, turn: int, max_tokens: int) -> Answer:
    """Ask the model of `component` and return its words. Words that were cut at a bound end with a sentence.

    Raises `CallError` for a failed call, one longer than `thinker_timeout` seconds, and an empty answer, which one
    that is nothing but reasoning is too; `RefusalError` for a refusal.
    """
    model = inner_model(component, context, max_tokens)
    message = await with_timeout(component, model.ainvoke(prompt, private_config(component, turn)), context)
    check_refusal(component, message)
    if needs_room(component, context, max_tokens, model, message):
        answer = await ask(component, prompt, context, turn, max_tokens)
        return Answer(answer.text, add_tokens(usage_of(message), answer.tokens))
    text = without_reasoning(message.text).strip()
    cut = ending(message) == "length"
    if not text:
        # A second call would reason up to the same bound.
        raise CallError(component, "the model gave an empty answer", transient=not cut)
    return Answer(whole_sentences(text) if cut else text, usage_of(message))


def check_refusal(component: str, message: AIMessage) -> None:
    """Raise `RefusalError` if the model refused, or its provider's filter left nothing of the answer."""
    end = ending(message)
    if end == "refusal":
        raise RefusalError(component, "the model refused to answer")
    if end == "content_filter":
        raise RefusalError(component, "the provider's content filter blocked the answer")


async def with_timeout(component: str, call: Awaitable[_Result], context: MirrorContext) -> _Result:
    """Wait for `call` for at most `thinker_timeout` seconds; whatever it raises becomes a `CallError`."""
    try:
        async with asyncio.timeout(context.thinker_timeout):
            return await call
    except ConfigurationError as error:
        raise _unusable(component, error) from error
    except TimeoutError as error:
        raise CallError(
            component, f"no answer within {context.thinker_timeout} s", transient=True, cause=error
        ) from error
    except Exception as error:
        raise CallError(component, describe_error(error), transient=is_transient(error), cause=error) from error


def _model_of(component: str, context: MirrorContext) -> str | BaseChatModel:
    model = context.synthesis_model if component == "synthesis" else context.thinker_model
    return context.talker_model if model is None else model


def _unusable(component: str, error: MirrorError) -> CallError:
    """Return the failure of a component whose model is set up wrongly: it is counted, and the log says what to do."""
    log.warning("%s cannot call its model: %s", component, error)
    return CallError(component, "its model cannot be called: the log says what to set", cause=error)


def describe_error(error: BaseException) -> str:
    """Name an error by its class and status. Its words may hold the user's, and stay in `cause`."""
    status = getattr(error, "status_code", None)
    return f"the call failed: {type(error).__name__}" + (f", status {status}" if status else "")


def thread_of(runtime: Runtime[MirrorContext]) -> str:
    """Return the thread a run is on."""
    thread_id = runtime.execution_info.thread_id if runtime.execution_info else None
    if not thread_id:
        raise ConfigurationError(
            "no thread_id in the config: the talker stores a mind per thread, so compile it with a checkpointer "
            "and pass a thread_id"
        )
    return thread_id
