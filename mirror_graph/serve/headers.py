"""Headers that a front end fills in from a template."""

_NOTHING = {"", "new", "none", "null", "undefined"}


def filled(value: str | None) -> str:
    """Return what a front end filled in, or `""` if it filled in nothing.

    A template that it does not know arrives as `{{NAME}}`, and a chat without an id yet as a word for nothing. Taken
    at its word, either would be one chat, or one user, for everybody.
    """
    value = (value or "").strip()
    return "" if value.lower() in _NOTHING or "{{" in value else value
