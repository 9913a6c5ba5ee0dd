"""Which constraints a message resembles, by the vectors of an embeddings model. Used in addition to the matcher."""

import asyncio
import math
from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from operator import mul
from statistics import fmean, pstdev
from typing import NamedTuple, TypeAlias

from langchain_core.embeddings import Embeddings

from mirror_graph.models.embeddings import embeddings_model
from mirror_graph.state.tokens import truncate_middle
from mirror_graph.state.values import SafetyConstraint

RESEMBLE_SECONDS = 1.0
"""What a reply may wait for the vectors."""

WORDS_TOKENS = 1_000
CACHE_SIZE = 1_024
"""The number of constraints whose vectors are remembered per model."""

DEVIATIONS = 3.0
"""The number of standard deviations by which words that touch a constraint are nearer to it than everyday requests."""

BASELINE_REQUESTS = (
    "What's a good name for a novel about two bakers?",
    "How late is it in Tokyo right now?",
    "Write me a short poem about the moon.",
    "How much is 15 % of 80?",
    "Explain how a hash table resolves collisions.",
    "Which podcast do you suggest for learning Finnish?",
    "Could you proofread my cover letter?",
    "Do you think we should repaint the hallway in grey?",
    "Should I renew my newspaper subscription this month?",
    "What is the difference between a lease and a loan?",
    "Do you think we should buy a second-hand printer?",
    "Translate good evening into Portuguese, please.",
)
"""Harmless requests. Models differ in how similar they find any two texts; these calibrate what is similar."""

Vector: TypeAlias = "array[float]"


class Similarity(NamedTuple):
    """The ids of the constraints that the words resemble, and the failure's class if no vectors came."""

    ids: list[str]
    failure: str = ""


class _Place(NamedTuple):
    """A constraint's vector, and the cosine from which on words touch it."""

    vector: Vector
    near: float


async def similar_constraints(
    constraints: Sequence[SafetyConstraint], words: str, model: str, seconds: float = RESEMBLE_SECONDS
) -> Similarity:
    """Return the constraints that `words` resemble: none of them if no vectors come within `seconds`.

    A constraint's own sentence is embedded once. Raises `ConfigurationError` if there is no such `model`.
    """
    vectors = embeddings_model(model)
    try:
        async with asyncio.timeout(seconds):
            quotes = [constraint["source"]["quote"] for constraint in constraints]
            request, places = await _embed(words, quotes, vectors, _known_places(model))
    except Exception as error:
        return Similarity([], type(error).__name__)
    similar: list[str] = []
    for constraint, place in zip(constraints, places, strict=True):
        if _cosine(request, place.vector) > place.near:
            similar.append(constraint["id"])
    return Similarity(similar)


async def _embed(
    words: str, quotes: Sequence[str], model: Embeddings, known: dict[str, _Place]
) -> tuple[Vector, list[_Place]]:
    """Return the vector of the words, and the place of each quote; those that are not `known` become so."""
    new = [quote for quote in dict.fromkeys(quotes) if quote not in known]
    # One call for all of it, because a reply waits: the words, the new quotes, and what calibrates those.
    texts = [truncate_middle(words, WORDS_TOKENS), *new]
    if new:
        texts += BASELINE_REQUESTS
    vectors = [_unit(vector) for vector in await model.aembed_documents(texts)]
    everyday = vectors[1 + len(new) :]
    fresh: dict[str, _Place] = {}
    for quote, vector in zip(new, vectors[1 : 1 + len(new)], strict=True):
        fresh[quote] = _Place(vector, _nearness(vector, everyday))
    places = [fresh.get(quote) or known[quote] for quote in quotes]
    if len(known) + len(fresh) > CACHE_SIZE:
        known.clear()
    known.update(fresh)
    return vectors[0], places


def _nearness(vector: Vector, everyday: Sequence[Vector]) -> float:
    cosines = [_cosine(vector, other) for other in everyday]
    return fmean(cosines) + DEVIATIONS * pstdev(cosines)


@cache
def _known_places(model: str) -> dict[str, _Place]:
    return {}


def _unit(vector: Iterable[float]) -> Vector:
    found = array("f", vector)
    length = math.hypot(*found) or 1.0
    return array("f", (value / length for value in found))


def _cosine(one: Vector, other: Vector) -> float:
    return math.fsum(map(mul, one, other))
