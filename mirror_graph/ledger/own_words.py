"""Which words of a message are the user's own, and which the user only quotes or pastes."""

import re
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.ledger.lexicon import has_mark, lexicon

_COLON = re.compile("[:：]")
_CLAUSE = 80
"""Characters before a colon that may introduce the words of another person."""

_INTRODUCED = re.compile(r"[^\n]*\S[^\n]*|[ \t]*\n\s*(?:[^\n]+\n?)*")
_PARAGRAPH = re.compile(r"[ \t]*[.!:]?[ \t]*\n\s*(?P<words>(?:[^\n]+\n?)+)")


class _Patterns(NamedTuple):
    """The patterns of `own_words.toml`."""

    pasted: re.Pattern[str]
    quoted: re.Pattern[str]
    speaker: re.Pattern[str]
    letter: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    table = tomllib.loads(files("mirror_graph.ledger").joinpath("own_words.toml").read_text("utf-8"))
    letter = (
        rf"^(?:{table['letter']['greetings']}) [^\n]{{1,60}},[ \t]*\n(?:[^\n]*\n){{1,40}}?"
        rf"^(?:{table['letter']['signatures']})\b[^\n]{{0,60}}(?:\n[^\n]{{1,40}})?(?=\n\s*\S)"
    )
    return _Patterns(
        pasted=re.compile("|".join(table["pasted"]), re.DOTALL | re.MULTILINE | re.IGNORECASE),
        quoted=re.compile("|".join(table["quoted"])),
        speaker=re.compile(table["speaker"], re.MULTILINE),
        letter=re.compile(letter, re.MULTILINE | re.IGNORECASE),
    )


def own_words(text: str) -> str:
    """Blank out what `text` quotes, pastes or asks to have said; its length and its lines stay.

    A quotation of a few words stays, since it names a thing ("I'm allergic to 'tree nuts'").
    """
    for step in STEPS:
        text = step(text)
    return text


def _without_pasted(text: str) -> str:
    return _patterns().pasted.sub(_blank, text)


def _without_letters(text: str) -> str:
    return _patterns().letter.sub(_blank, text) if "," in text else text


def _without_quotations(text: str) -> str:
    return _patterns().quoted.sub(lambda found: found[0] if _names_a_thing(found[0]) else _blank(found), text)


def _without_speakers(text: str) -> str:
    """Blank out the lines of a transcript that are not the user's: what follows a name and a colon."""
    if ":" not in text and "：" not in text:
        return text
    return _patterns().speaker.sub(lambda found: _blank(found) if _is_of_another(found) else found[0], text)


def _is_of_another(line: re.Match[str]) -> bool:
    """Say whether a line is what another person with a name, or with a part in a conversation, says.

    "Tom: ..." and "customer: ..." are; a label for the user's own words is not: "Note: ...", "Me: ...".
    """
    name = line["name"].strip("*_ .")
    words = name.casefold().split()
    # "Note:", "Me:", "My question:" label the user's own words.
    if not lexicon().labels.isdisjoint((words[0], words[-1], name.casefold())):
        return False
    # "Customer:", or any name behind a time, is a part in a conversation.
    if words[-1] in lexicon().speakers or line["stamp"]:
        return True
    has_case = any(letter.isupper() or letter.islower() for letter in name)
    # A script without capitals: names are short, and "关于我" ("about me") ends with a label of the user's own words.
    if not has_case:
        return len(name) <= 4 and not name.endswith(tuple(lexicon().labels))
    # "Tom:" is a name. "the usual:" and "NB:" are none, so what follows them is the user's own.
    return all(word[0].isupper() and not word.isupper() for word in name.split())


def _without_tasks(text: str) -> str:
    """Blank out the paragraph below a request to work on one: "Please proofread this text. | I am ..."."""
    if "\n" not in text:
        return text
    blanked = _Blanked(text)
    for request in lexicon().tasks.finditer(text):
        # The request stands in a text that is blanked out already: it is not the user's request.
        if request.start() < blanked.end:
            continue
        paragraph = _PARAGRAPH.match(text, request.end())
        if paragraph:
            blanked.blank(*paragraph.span("words"))
    return blanked.text()


def _without_introduced(text: str) -> str:
    """Blank out what follows "she wrote:", to the end of its line or of the paragraph below."""
    blanked = _Blanked(text)
    clause = 0
    for colon in _COLON.finditer(text):
        start, clause = max(clause, colon.start() - _CLAUSE), colon.end()
        # "My allergies: peanuts": without "she wrote" or its like, what follows a colon is the user's own.
        if colon.start() < blanked.end or not lexicon().introductions.search(text, start, colon.start()):
            continue
        words = _INTRODUCED.match(text, colon.end())
        if words:
            blanked.blank(*words.span())
    return blanked.text()


def _without_fiction(text: str) -> str:
    """Blank out all that follows an invitation to play a part."""
    opening = lexicon().role_play.search(text)
    return text if opening is None else text[: opening.start()] + _spaces(text[opening.start() :])


class _Blanked:
    """A text in which stretches are blanked out, from left to right; `end` is where the last of them ends."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self.end = 0

    def blank(self, start: int, end: int) -> None:
        """Blank out a stretch behind the last one."""
        self._parts += [self._text[self.end : start], _spaces(self._text[start:end])]
        self.end = end

    def text(self) -> str:
        """Return the whole text."""
        return "".join([*self._parts, self._text[self.end :]])


STEPS: tuple[Callable[[str], str], ...] = (
    _without_pasted,
    _without_letters,
    _without_quotations,
    _without_speakers,
    _without_tasks,
    _without_introduced,
    _without_fiction,
)
"""What `own_words` does, one pass over the text each, in an order in which none undoes another."""


def _blank(found: re.Match[str]) -> str:
    return _spaces(found[0])


def _spaces(text: str) -> str:
    """Return spaces in place of a text; its lines stay."""
    return re.sub(r"[^\n]", " ", text)


def _names_a_thing(quotation: str) -> bool:
    """Say whether a quotation names a thing, as "tree nuts" does and "I'm epileptic" does not."""
    # Scripts without spaces have no words to count, so their characters are.
    is_short = len(quotation.split()) <= 3 and (quotation.isascii() or len(quotation) <= 24)
    return is_short and not has_mark(quotation.casefold(), "cue")
