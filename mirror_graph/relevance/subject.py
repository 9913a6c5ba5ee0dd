"""Whom a request is for. This decides whether another person's constraint is relevant to it."""

import re
from functools import lru_cache
from typing import Literal

from mirror_graph.relevance.wording import pattern, persons

Concern = Literal["yes", "open", "no"]
"""Whether a request concerns a person: it does, it does not say, or it does not."""


def concern_of_person(person: str, text: str) -> Concern:
    """Say whether a request concerns a person who is not the user, such as "my husband"."""
    if _names_for(person).search(text):
        return "yes"
    # "I'm having lunch alone": whatever else the text names, only the user is concerned.
    if pattern("alone").search(text):
        return "no"
    # "We", the family, or guests: the person is taken to be one of them.
    if pattern("anybody").search(text) or pattern("for_them").search(text):
        return "yes"
    if pattern("i_act").search(text):
        return "no"
    # "Does he like it?" A pronoun can only mean a person who was named before.
    return "yes" if pattern("pronoun").search(text) else "open"


def is_for_another_only(text: str) -> bool:
    """Say whether a request is explicitly for somebody else, and the user has no part in it."""
    found = pattern("for_another_only").search(text)
    if not found:
        return False
    # "Can my brother and I go?" has the user in it.
    if pattern("question").match(found[0]):
        return not pattern("self").search(text[found.end() :])
    # So has "only for my brother and me", and "... but can I have some?". "That's not for me" names no other person.
    is_shared = pattern("with_me").match(text, found.end()) or pattern("i_act").search(text)
    return not is_shared and pattern("my_person").search(text) is not None


@lru_cache(maxsize=1024)
def _names_for(whose: str) -> re.Pattern[str]:
    """Match the person by any word that may stand for them, or by their own name."""
    groups: list[str] = []
    for group in persons():
        if re.search(rf"(?:\b|(?<=[^a-z]))(?:{group})s?(?:\b|$)", whose, re.IGNORECASE):
            groups.append(group)
    names = [re.escape(word) for word in re.findall(r"\w+", whose) if len(word) > 2 or not word.isascii()]
    words = "|".join([*groups, *names]) or r"\b\B"
    return re.compile(rf"(?<![a-z])(?:{words})s?(?![a-z])", re.IGNORECASE)
