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
            r"<(?!(?:b|i|u|em|strong|p|span|div)\b)(?P<tag>\w{1,32})[^<>\n]{0,200}>[^<]*</(?P=tag)>",
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


def own_words(text: str) -> str:
    """Blank out what `text` quotes, pastes or asks to have said; its length and its lines stay.

    A quotation of a few words stays, since it names a thing ("I'm allergic to 'tree nuts'").
    """
    text = _PASSED_ON.sub(_blank, text)
    text = _QUOTED.sub(lambda found: found[0] if _names_a_thing(found[0]) else _blank(found), text)
    return _without_introduced(text)


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


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _names_a_thing(quotation: str) -> bool:
    """Tell a name ("tree nuts") from something said ("I'm epileptic"); unspaced scripts have no words to count."""
    short = len(quotation.split()) <= 3 and (quotation.isascii() or len(quotation) <= 24)
    return short and not any(language.cue.search(quotation.casefold()) for language in lexicon().languages)
