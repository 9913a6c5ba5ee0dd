"""One private call for a typed answer, from any model: by schema, by tool, in JSON mode, or read from plain text."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel, ValidationError

from mirror_graph.calls.json_in_text import last_object
from mirror_graph.calls.model_call import check_refusal, inner_model, needs_room, private_config, with_timeout
from mirror_graph.errors import CallError, MirrorError
from mirror_graph.models import closes_reasoning, ending, without_reasoning, without_reasoning_in
from mirror_graph.state import MirrorContext, Tokens
from mirror_graph.state.tokens import whole_sentences
from mirror_graph.state.usage import NO_TOKENS, add_tokens, usage_of

METHODS = ("json_schema", "function_calling", "json_mode", "text")
"""From the strictest way of asking to the one that every model understands."""

_Schema = TypeVar("_Schema", bound=BaseModel)

_works: dict[int, tuple[BaseChatModel, str]] = {}
"""The first method a model's endpoint has not refused, found out once, and the model, so that its id stays its own.

A method counts as refused where a later one was then answered: an endpoint also refuses what is too long, by any
method. Unreadable answers do not count.
"""

_BEGINS_JSON = re.compile(r"\{\s*[\"}]")


class Typed(NamedTuple, Generic[_Schema]):
    """A typed answer, and the tokens that it took, unreadable tries included."""

    value: _Schema
    tokens: Tokens


async def ask_structured(
    component: str,
    prompt: list[BaseMessage],
    schema: type[_Schema],
    context: MirrorContext,
    turn: int,
    max_tokens: int,
    plain: Callable[[str], _Schema] | None = None,
    salvage: Callable[[str], _Schema | None] | None = None,
) -> Typed[_Schema]:
    """Ask the model of `component` for a `schema`, with the next of `METHODS` if one is refused or unreadable.

    `plain` makes a value of an answer that is no JSON at all, if one can be made. `salvage` makes one of what is whole
    in an answer that was cut at `max_tokens`.

    Raises `CallError` where no method gives a readable answer, and at once for what another method would not
    change: an answer cut at `max_tokens`, a refused key, a lost connection, a time-out; `RefusalError` for a refusal.
    """
    model = inner_model(component, context, max_tokens)
    config = private_config(component, turn)
    tokens = NO_TOKENS
    problem = CallError(component, "the answer could not be parsed")
    first_method = first_supported = _first_method(model)
    for place, method in enumerate(METHODS[first_method:], first_method):
        try:
            message = await with_timeout(component, _call(model, prompt, schema, method, config), context)
        except CallError as error:
            if not _is_about_the_method(error):
                raise
            problem = error
            if getattr(error.cause, "status_code", None) is not None:
                first_supported = place + 1
            continue
        if first_supported > first_method:
            _works[id(model)] = model, METHODS[first_supported]
        tokens = add_tokens(tokens, usage_of(message))
        check_refusal(component, message)
        if needs_room(component, context, max_tokens, model, message):
            answer = await ask_structured(component, prompt, schema, context, turn, max_tokens, plain, salvage)
            return Typed(answer.value, add_tokens(tokens, answer.tokens))
        value = read(message, schema) or _plainly(message, plain) or _salvaged(message, salvage)
        if value is not None:
            return Typed(value, tokens)
        if ending(message) == "length":
            raise CallError(component, "the answer was cut at its token limit")
    raise problem


def _first_method(model: BaseChatModel) -> int:
    """Return the place of the method that the model's endpoint is known to take; the first one if none is known."""
    return METHODS.index(_works[id(model)][1]) if id(model) in _works else 0


def read(message: AIMessage, schema: type[_Schema]) -> _Schema | None:
    """Read a `schema` from a message's tool call or text, or None: a refusal and broken JSON are no answer.

    Of several objects in the text the last that fits counts. An object in the model's reasoning is a draft; but where
    the reasoning never closes and the answer was not cut, the model has put its answer there.
    """
    for call in message.tool_calls:
        value = _validated(call["args"], schema)
        if value is not None:
            return value
    texts = [without_reasoning(message.text)]
    if ending(message) != "length" and not closes_reasoning(message.text):
        texts.append(message.text)
    for text in texts:
        value = last_object(text, lambda found: _validated(found, schema))
        if value is not None:
            return value
    return None


def _plainly(message: AIMessage, plain: Callable[[str], _Schema] | None) -> _Schema | None:
    """Make a value of an answer that does not try to be JSON."""
    text = without_reasoning(message.text).strip()
    if plain is None or not text or _BEGINS_JSON.search(text):
        return None
    return plain(whole_sentences(text) if ending(message) == "length" else text)


def _salvaged(message: AIMessage, salvage: Callable[[str], _Schema | None] | None) -> _Schema | None:
    """Make a value of what is whole in an answer that was cut."""
    if salvage is None or ending(message) != "length":
        return None
    return salvage(without_reasoning(message.text))


def _validated(given: dict[str, Any], schema: type[_Schema]) -> _Schema | None:
    try:
        return schema.model_validate(without_reasoning_in(given))
    except (ValidationError, RecursionError):
        return None


async def _call(
    model: BaseChatModel, prompt: list[BaseMessage], schema: type[BaseModel], method: str, config: RunnableConfig
) -> AIMessage:
    if method == "text":
        return await model.ainvoke(prompt, config)
    # The schema as a dictionary: of a class, the OpenAI client raises what it cannot read, and the words are lost.
    return await _asking(model.with_structured_output(_without_references(schema), method=method)).ainvoke(
        prompt, config
    )


def _asking(structured: Runnable[Any, Any]) -> Runnable[Any, AIMessage]:
    """Return the model with its way of asking, without the parsers behind it: one call is one run, and `read` reads."""
    if not isinstance(structured, RunnableSequence):
        raise NotImplementedError("expected a structured output made of a model and a parser")
    return structured.first


@lru_cache
def _without_references(schema: type[BaseModel]) -> dict[str, Any]:
    """Return a schema with everything in its place: not every endpoint looks up a `$ref`, and none says so."""
    described = dereference_refs(schema.model_json_schema())
    described.pop("$defs", None)
    return described


def _is_about_the_method(error: CallError) -> bool:
    """Say whether another way of asking may work: the endpoint refused this one, or its answer was no JSON."""
    status = getattr(error.cause, "status_code", None)
    if status is not None:
        return status in {400, 404, 415, 422, 501}
    if isinstance(error.cause, MirrorError):
        return False
    return not error.transient and isinstance(error.cause, ValueError | NotImplementedError | TypeError | KeyError)
