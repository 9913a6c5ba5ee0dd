"""Which words of a message are the user's own, and which they only pass on."""

import re

from mirror_graph.ledger.lexicon import lexicon

_PASSED_ON = re.compile(
    "|".join(
        [
            r"```.*?(?:```|\Z)",  # code
            r"~~~.*?(?:~~~|\Z)",
            r"`[^`\n]+`",
            r"^[ \t]*(?:>|&gt;)[^\n]*",  # the mail that is answered
            r"^-{3,}+[^\n]{0,40}(?:message|nachricht|mensaje|mensagem|messaggio)[^\n]{0,40}---.*",  # a forwarded one
            r"<(?P<tag>\w{1,32})[^<>\n]{0,200}>[^<]*</(?P=tag)>",
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
_TO_THE_COLON = re.compile(r"[^\n:.!?]{0,60}[:：]")
_REST_OF_LINE = re.compile(r"[^\n]*\S[^\n]*")
_NEXT_PARAGRAPH = re.compile(r"[ \t]*\n\s*(?:[^\n]+\n?)*")


def own_words(text: str) -> str:
    """Blank out what `text` quotes, pastes or asks to have said; its length and its lines stay.

    A quotation of a few words stays, since it names a thing ("I'm allergic to 'tree nuts'").
    """
    text = _PASSED_ON.sub(_blank, text)
    text = _QUOTED.sub(lambda found: found[0] if _names_a_thing(found[0]) else _blank(found), text)
    return _without_introduced(text)


def _without_introduced(text: str) -> str:
    """Blank out what follows "she wrote:", to the end of its line or of the paragraph below."""
    kept, place = [], 0
    for introduction in lexicon().introductions.finditer(text):
        colon = _TO_THE_COLON.match(text, introduction.end())
        if colon is None or introduction.start() < place:
            continue
        words = _REST_OF_LINE.match(text, colon.end()) or _NEXT_PARAGRAPH.match(text, colon.end())
        if words:
            kept += [text[place : words.start()], _blank(words)]
            place = words.end()
    return "".join([*kept, text[place:]])


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _names_a_thing(quotation: str) -> bool:
    return len(quotation) <= 8 if not quotation.isascii() and " " not in quotation else len(quotation.split()) <= 3
