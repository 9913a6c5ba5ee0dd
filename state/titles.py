"""The one spelling by which titles are compared."""

import re
import unicodedata

_ARTICLE_LAST = re.compile(r"^(?P<title>.+),\s*(?P<article>the|an|a)$")


def key(title: str) -> str:
    """Return the spelling by which titles are compared: letters and digits only, no accents, no case.

    "&" is "and", and an article after a comma goes to the front. A leading article stays: "The Batman" is another film
    than "Batman".
    """
    decomposed = unicodedata.normalize("NFKD", title)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold().strip()
    inverted = _ARTICLE_LAST.match(plain)
    if inverted:
        plain = f"{inverted['article']} {inverted['title']}"
    return "".join(letter for letter in plain.replace("&", "and") if letter.isalnum())
