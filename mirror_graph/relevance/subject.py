"""Whom a request is for: it decides whether the constraint of a particular person is relevant to it."""

import re
from functools import lru_cache
from typing import Literal

from mirror_graph.relevance.wording import pattern, persons

Concern = Literal["yes", "open", "no"]
"""Whether a request concerns a person: it does, it does not say, or it does not."""


def concern_of_person(person: str, text: str) -> Concern:
    """Say whether a request concerns a person who is not the user, such as "my husband"."""
    # Named, or one of those the request is for: their constraint counts as the user's own would.
    if _names_for(person).search(text) or pattern("anybody").search(text):
        return "yes"
    # "What could I cook for him?" A pronoun can only mean somebody who was spoken of.
    if pattern("pronoun").search(text):
        return "yes"
    return "no" if pattern("alone").search(text) else "open"


def is_for_another_only(text: str) -> bool:
    """Say whether a request is explicitly for somebody else, and the user has no part in it."""
    found = pattern("for_another_only").search(text)
    if not found:
        return False
    # "Can my brother and I go?" has the user in it, "I only want the recipe for my brother" has not.
    if pattern("question").match(found[0]):
        return not pattern("self").search(text[found.end() :])
    return True


@lru_cache(maxsize=1024)
def _names_for(whose: str) -> re.Pattern[str]:
    """Match the person by any word that may stand for them, or by their own name."""
    groups = [
        group for group in persons() if re.search(rf"(?:\b|(?<=[^a-z]))(?:{group})s?(?:\b|$)", whose, re.IGNORECASE)
    ]
    names = [re.escape(word) for word in re.findall(r"\w+", whose) if len(word) > 2 or not word.isascii()]
    words = "|".join([*groups, *names]) or r"\b\B"
    return re.compile(rf"(?<![a-z])(?:{words})s?(?![a-z])", re.IGNORECASE)
