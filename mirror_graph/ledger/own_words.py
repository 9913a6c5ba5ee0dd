"""Which words of a message are the user's own, and which they only pass on."""

import re
from collections.abc import Callable

from mirror_graph.ledger.lexicon import lexicon

_PASSED_ON = re.compile(
    "|".join(
        [
            r"```.*?(?:```|\Z)",  # code
            r"~~~.*?(?:~~~|\Z)",
            r"`[^`\n]+`",
            r"^[ \t]*(?:>|&gt;)[^\n]*",  # the mail that is answered
            r"^-{3,}+[^\n]{0,40}(?:message|nachricht|mensaje|mensagem|messaggio)[^\n]{0,40}---.*",  # a forwarded one
            r"<\|[^|<>\n]{0,40}\|>[^<]*",  # a chat template's turn
            r"\[/?(?:INST|SYSTEM|USER|ASSISTANT)\][^\[]*",
            r"<(?!(?:b|i|u|em|strong)\b)(?P<tag>\w{1,32})[^<>\n]{0,200}>[^<]*</(?P=tag)>",
            r"^[ \t]*\|[^\n]*",  # a row of a table
            r"^[^\n\t]*\S\t[^\n]*",
            r"^(?:[^\n,]{1,40}(?:,[^\s,][^\n,]{0,200}){1,10}(?:\n|\Z)){2,40}",  # rows of a CSV file
            r"[\[{][ \t]*[\"'][\w -]{1,30}[\"'][ \t]*:[^\n]*",  # an object of a program
            # A mail's header, and the mail below it.
            r"(?:^(?:from|to|cc|date|sent|subject|von|an|datum|betreff|de|para|asunto|assunto|objet|oggetto|da|a):"
            r"[^\n]*\n){2,9}.*",
            # A key of a file of settings, where another one stands next to it.
            r"^[ \t-]*(?:role|name|user|author|speaker|id|type):[^\n]*\n"
            r"[ \t-]*(?:content|text|message|body|note|comment|value):[^\n]*",
        ]
    ),
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_QUOTED = re.compile(
    "|".join(
        [
            r'(?<!\w)"[^"\n]*"(?!\w)',
            r"“[^“”]*”",
            r"„[^„“”]*[“”]",
            r"«[^«»]*»",
            r"»[^«»\n]*«",
            r"「[^「」]*」",
            r"『[^『』]*』",
            r"(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w))+'(?!\w)",
            r"(?<!\w)‘(?:[^‘’\n]|(?<=\w)’(?=\w))+’(?!\w)",
        ]
    )
)
_COLON = re.compile("[:：]")
_CLAUSE = 80
_SAID = re.compile(r"[^\n]*\S[^\n]*|[ \t]*\n\s*(?:[^\n]+\n?)*")

_SPEAKER = re.compile(
    r"^(?P<stamp>[ \t]*[*_#-]{0,3}[ \t]*[\[(]?(?:\d{1,4}[-./]\d{1,2}[-./]\d{1,4}[ ,T]*)?\d{1,2}[:.]\d{2}"
    r"[^\]\n)]{0,12}[\])]?[ \t,-]*)?[ \t#*_-]{0,6}"
    r"(?P<name>[^\W\d_][\w.'’-]{0,24}(?: [^\W\d_][\w.'’-]{0,24}){0,2})"
    r"(?: ?[\[(][^\])\n]{1,24}[\])])?[*_]{0,3}[ \t]?(?::[*_]{0,3}(?:[ \t]+|\n)|：[ \t]*)(?P<said>[^\n]*)$",
    re.MULTILINE,
)
"""A line of a transcript: perhaps a time, a speaker, a colon, what they said."""

_GREETINGS = (
    "dear|hi|hello|hey|liebe[rs]?|sehr geehrte[rs]?|hallo|querid[oa]|estimad[oa]|cher|chère|bonjour|prezad[oa]"
    "|car[oa]|gentile"
)
_SIGNATURES = (
    "yours|best|kind regards|regards|sincerely|cheers|warmly|many thanks|thanks|love|with|mit freundlichen|viele"
    "|liebe grüße|beste|saludos|atentamente|cordialement|bien à vous|atenciosamente|abraços|cordiali saluti"
    "|distinti saluti"
)
_LETTER = re.compile(
    rf"^(?:{_GREETINGS}) [^\n]{{1,60}},[ \t]*\n(?:[^\n]*\n){{1,40}}?"
    rf"^(?:{_SIGNATURES})\b[^\n]{{0,60}}(?:\n[^\n]{{1,40}})?(?=\n\s*\S)",
    re.MULTILINE | re.IGNORECASE,
)
"""A letter from its greeting to its signature, with words of somebody's below it."""

_PARAGRAPH = re.compile(r"[ \t]*[.!:]?[ \t]*\n\s*(?P<said>(?:[^\n]+\n?)+)")


def own_words(text: str) -> str:
    """Blank out what `text` quotes, pastes or asks to have said; its length and its lines stay.

    A quotation of a few words stays, since it names a thing ("I'm allergic to 'tree nuts'").
    """
    for step in STEPS:
        text = step(text)
    return text


def _without_pasted(text: str) -> str:
    return _PASSED_ON.sub(_blank, text)


def _without_letters(text: str) -> str:
    return _LETTER.sub(_blank, text) if "," in text else text


def _without_quotations(text: str) -> str:
    return _QUOTED.sub(lambda found: found[0] if _names_a_thing(found[0]) else _blank(found), text)


def _without_speakers(text: str) -> str:
    """Blank out the lines of a transcript that are not the user's: what follows a name and a colon."""
    if ":" not in text and "：" not in text:
        return text
    return _SPEAKER.sub(lambda found: _blank(found) if _is_of_another(found) else found[0], text)


def _is_of_another(line: re.Match[str]) -> bool:
    """Say whether a line is what somebody with a name or a part in a conversation said.

    "Tom: ..." and "customer: ..." are; a label for the user's own words is not: "Note: ...", "Me: ...".
    """
    name = line["name"].strip("*_ .")
    words = name.casefold().split()
    if words[-1] in lexicon().labels or words[0] in lexicon().labels or name.casefold() in lexicon().labels:
        return False
    if words[-1] in lexicon().speakers:
        return True
    if line["stamp"]:
        return True
    if not any(letter.isupper() or letter.islower() for letter in name):
        return len(name) <= 4  # a script without capitals: names are short
    return all(word[0].isupper() and not word.isupper() for word in name.split())


def _without_tasks(text: str) -> str:
    """Blank out the paragraph below a request to work on one: "Please proofread this text. | I am ..."."""
    if "\n" not in text:
        return text
    kept, place = [], 0
    for request in lexicon().tasks.finditer(text):
        said = _PARAGRAPH.match(text, request.end()) if request.start() >= place else None
        if said:
            kept += [text[place : said.start("said")], re.sub(r"[^\n]", " ", said["said"])]
            place = said.end()
    return "".join([*kept, text[place:]])


def _without_introduced(text: str) -> str:
    """Blank out what follows "she wrote:", to the end of its line or of the paragraph below."""
    kept, place, clause = [], 0, 0
    for colon in _COLON.finditer(text):
        start, clause = max(clause, colon.start() - _CLAUSE), colon.end()
        if colon.start() < place or not lexicon().introductions.search(text, start, colon.start()):
            continue
        said = _SAID.match(text, colon.end())
        if said:
            kept += [text[place : said.start()], _blank(said)]
            place = said.end()
    return "".join([*kept, text[place:]])


def _without_fiction(text: str) -> str:
    """Blank out all that follows an invitation to play a part."""
    opening = lexicon().role_play.search(text)
    return text if opening is None else text[: opening.start()] + re.sub(r"[^\n]", " ", text[opening.start() :])


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
    return re.sub(r"[^\n]", " ", found[0])


def _names_a_thing(quotation: str) -> bool:
    """Tell a name ("tree nuts") from something said ("I'm epileptic"); unspaced scripts have no words to count."""
    short = len(quotation.split()) <= 3 and (quotation.isascii() or len(quotation) <= 24)
    return short and not any(language.cue.search(quotation.casefold()) for language in lexicon().languages)
