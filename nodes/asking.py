"""One private model call: bounded in time, kept out of the user's stream, never half an answer."""

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from mirror_graph.errors import CallError, ConfigurationError
from mirror_graph.models import chat_model, is_transient
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.usage import used

PRIVATE = ["nostream", "langsmith:nostream"]

_Result = TypeVar("_Result")


class Answer(NamedTuple):
    """What a model said, and what it took."""

    text: str
    tokens: Tokens


def choices(runtime: Runtime[MirrorContext]) -> MirrorContext:
    """Return the run's context, or the defaults where the caller gave none."""
    return runtime.context or MirrorContext()


def call_config(component: str, turn: int) -> RunnableConfig:
    """Name a model call for tracing. Only its component and turn: what was said stays out of metadata."""
    return {"run_name": component, "metadata": {"component": component, "turn": turn}}


def private_config(component: str, turn: int) -> RunnableConfig:
    """Name a model call, and keep its tokens out of every stream of the graph."""
    return {**call_config(component, turn), "tags": PRIVATE}


def inner_model(component: str, context: MirrorContext, max_tokens: int) -> BaseChatModel:
    """Return the model that `component` thinks with."""
    name = context.synthesis_model if component == "synthesis" else context.thinker_model
    return chat_model(name or context.talker_model, temperature=context.temperature, max_tokens=max_tokens)


async def ask(component: str, prompt: list[BaseMessage], context: MirrorContext, turn: int, max_tokens: int) -> Answer:
    """Ask the model of `component` and return its words.

    Raises `CallError` for a failed call, one longer than `thinker_timeout` seconds, and an empty answer.
    """
    model = inner_model(component, context, max_tokens)
    message = await bounded(component, model.ainvoke(prompt, private_config(component, turn)), context)
    text = message.text.strip()
    if not text:
        raise CallError(component, "an empty answer", transient=True)
    return Answer(text, used(message))


async def bounded(component: str, call: Awaitable[_Result], context: MirrorContext) -> _Result:
    """Wait for `call` for at most `thinker_timeout` seconds; whatever it raises becomes a `CallError`."""
    try:
        async with asyncio.timeout(context.thinker_timeout):
            return await call
    except ConfigurationError:
        raise
    except TimeoutError as error:
        raise CallError(
            component, f"no answer within {context.thinker_timeout} s", transient=True, cause=error
        ) from error
    except Exception as error:
        raise CallError(component, described(error), transient=is_transient(error), cause=error) from error


def described(error: BaseException) -> str:
    """Name an error by its class and status. Its words may hold the user's, and stay in `cause`."""
    status = getattr(error, "status_code", None)
    return f"the call failed: {type(error).__name__}" + (f", status {status}" if status else "")
