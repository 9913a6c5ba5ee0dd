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
"""Of how many entries a model's vectors are kept."""

DEVIATIONS = 3.0
"""By how many standard deviations words that touch an entry lie nearer to it than everyday requests do."""

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
    """The ids of the entries that the words resemble, and the failure's class where no vectors came."""

    ids: list[str]
    failure: str = ""


class _Place(NamedTuple):
    """Where an entry lies, and from which cosine on words touch it."""

    vector: Vector
    near: float


async def similar_constraints(
    entries: Sequence[SafetyConstraint], words: str, model: str, seconds: float = RESEMBLE_SECONDS
) -> Similarity:
    """Name the entries that `words` resemble: none of them where no vectors come within `seconds`.

    An entry's own sentence is embedded once. Raises `ConfigurationError` where there is no such `model`.
    """
    vectors = embeddings_model(model)
    try:
        async with asyncio.timeout(seconds):
            said, places = await _place(words, [entry["source"]["quote"] for entry in entries], vectors, _kept(model))
    except Exception as error:
        return Similarity([], type(error).__name__)
    near = zip(entries, places, strict=True)
    return Similarity([entry["id"] for entry, place in near if _cosine(said, place.vector) > place.near])


async def _place(
    words: str, quotes: Sequence[str], model: Embeddings, kept: dict[str, _Place]
) -> tuple[Vector, list[_Place]]:
    """Embed the words, and in the same call the quotes that are new."""
    new = [quote for quote in dict.fromkeys(quotes) if quote not in kept]
    asked = [truncate_middle(words, WORDS_TOKENS), *new, *(BASELINE_REQUESTS if new else ())]
    said, *vectors = map(_unit, await model.aembed_documents(asked))
    everyday = vectors[len(new) :]
    fresh = {quote: _Place(vector, _nearness(vector, everyday)) for quote, vector in zip(new, vectors, strict=False)}
    places = [fresh.get(quote) or kept[quote] for quote in quotes]
    if len(kept) + len(fresh) > CACHE_SIZE:
        kept.clear()
    kept.update(fresh)
    return said, places


def _nearness(vector: Vector, everyday: Sequence[Vector]) -> float:
    cosines = [_cosine(vector, other) for other in everyday]
    return fmean(cosines) + DEVIATIONS * pstdev(cosines)


@cache
def _kept(model: str) -> dict[str, _Place]:
    return {}


def _unit(vector: Iterable[float]) -> Vector:
    found = array("f", vector)
    length = math.hypot(*found) or 1.0
    return array("f", (value / length for value in found))


def _cosine(one: Vector, other: Vector) -> float:
    return math.fsum(map(mul, one, other))
