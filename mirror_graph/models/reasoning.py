"""Takes a model's reasoning out of its answer, in a whole text or in a stream of pieces.

Some models write their reasoning into the answer, between tags such as `<think>` and `</think>`. What counts:

- A tag in a code fence or in inline code is part of the answer: a user may ask what `<think>` means.
- From an opening tag to its closing tag, everything is reasoning, wherever it stands.
- A tag that opens at the beginning of a line and never closes makes everything after it reasoning. In the middle of
  a line it is a word of the answer; a stream holds it back until it knows.
- A closing tag without an opening one makes everything before it reasoning: the prompt template had opened it.
"""

import re
from typing import Any, NamedTuple

NAMES = ("think", "thinking", "thought", "reasoning")
BLOCK_TYPES = {"thinking", "redacted_thinking", "reasoning", "reasoning_content"}
"""Content blocks that hold reasoning, in the words of Anthropic, OpenAI, DeepSeek and Bedrock."""

_NAME = "|".join(sorted(NAMES, key=len, reverse=True))
_TAG = re.compile(rf"<\s?(?P<close>/?)\s?(?:{_NAME})(?:\s[^<>]{{0,64}})?/?>|\[(?P<end>/?)THINK\]", re.IGNORECASE)
_CLOSE = re.compile(rf"<\s?/\s?(?:{_NAME})(?:\s[^<>]{{0,64}})?>|\[/THINK\]", re.IGNORECASE)
_BEGUN = re.compile(r"<\s?/?\s?(?P<name>[a-z]*)(?P<rest>\s[^<>]{0,64}/?|/)?\Z", re.IGNORECASE)
_BEGUN_BRACKET = re.compile(r"\[/?(?P<name>[a-z]{0,5})\Z", re.IGNORECASE)
_LONGEST_TAG = 96
_FENCE = re.compile(r"[ \t>*-]*(?P<run>`{3,}|~{3,})(?P<info>[^`\n]*)")
_BACKTICKS = re.compile(r"`+")


class Shown(NamedTuple):
    """What may be shown. With `restarts`, everything shown before it was reasoning after all."""

    text: str
    restarts: bool = False


class ReasoningFilter:
    """Drops the reasoning from one answer that comes in pieces, however it is split.

    With `inside`, the answer is expected to begin within reasoning that a prompt template has opened. Nothing is
    shown until that closes; if it never does, there was none, and `end` returns the whole.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self.closed = False
        """Whether a closing tag has been seen."""
        self._waiting = ""  # text that has not been decided on
        self._searched = 0  # how much of it holds no closing tag
        self._inside = inside
        self._opened_by = ""  # the opening tag, which is shown if it turns out to be a word
        self._may_be_words = inside
        self._margin = ""  # white space before the first word
        self._begun = False
        self._after_blank = True
        self._skips_blanks = False
        self._line = ""  # the visible line so far, which says whether a tag stands in code
        self._fence = ""

    def feed(self, piece: str) -> Shown:
        """Take the next piece and return what may be shown now."""
        self._waiting += piece
        shown: list[str] = []
        restarts = False
        while self._waiting:
            if self._inside:
                if not self._leave_reasoning():
                    break
                continue
            tag = _TAG.search(self._waiting)
            if tag is None:
                undecided = _undecided(self._waiting)
                decided = len(self._waiting) - undecided
                shown.append(self._show(self._waiting[:decided]))
                self._waiting = self._waiting[decided:]
                break
            shown.append(self._show(self._waiting[: tag.start()]))
            self._waiting = self._waiting[tag.end() :]
            if self._is_code():
                shown.append(self._show(tag.group()))
            elif tag["close"] or tag["end"]:
                self.closed = restarts = True
                shown.clear()
                self._restart()
            elif tag.group().endswith("/>"):
                self._skips_blanks = True
            else:
                self._enter_reasoning(tag.group())
        return Shown("".join(shown), restarts)

    def end(self) -> str:
        """Return what was held back and is to be shown now that the answer is over."""
        shown: list[str] = []
        while self._inside:
            if not self._may_be_words:
                return "".join(shown)
            self._inside = False
            shown.append(self._show(self._opened_by))
            shown.append(self.feed("").text)
        shown.append(self._show(self._waiting))
        self._waiting = ""
        return "".join(shown) if self._begun else self._margin

    def _enter_reasoning(self, tag: str) -> None:
        self._inside = True
        self._opened_by = tag
        self._searched = 0
        self._may_be_words = bool(self._line.strip())
        if not self._begun:
            self._margin = ""

    def _leave_reasoning(self) -> bool:
        """Drop the reasoning up to its closing tag, if that has come."""
        close = _CLOSE.search(self._waiting, max(0, self._searched - _LONGEST_TAG))
        if close is None:
            if not self._may_be_words:
                self._waiting = self._waiting[-_LONGEST_TAG:]
            self._searched = len(self._waiting)
            return False
        self.closed = True
        self._waiting = self._waiting[close.end() :]
        self._inside = False
        self._skips_blanks = True
        return True

    def _restart(self) -> None:
        self._margin = self._line = self._fence = ""
        self._begun = False
        self._after_blank = True
        self._skips_blanks = True

    def _show(self, text: str) -> str:
        """Return `text` as it is to be shown, without the blanks that a dropped block leaves in a row."""
        if self._skips_blanks and self._after_blank:
            text = text.lstrip()
        if not text:
            return ""
        self._skips_blanks = False
        if not self._begun:
            self._margin += text
            if not text.strip():
                return ""
            text, self._margin, self._begun = self._margin, "", True
        self._after_blank = text[-1].isspace()
        self._follow_lines(text)
        return text

    def _follow_lines(self, text: str) -> None:
        *ended, rest = text.split("\n")
        for line in ended:
            self._line += line
            fence = _FENCE.fullmatch(self._line)
            if fence and not self._fence:
                self._fence = fence["run"]
            elif fence and fence["run"].startswith(self._fence) and not fence["info"].strip():
                self._fence = ""
            self._line = ""
        self._line += rest

    def _is_code(self) -> bool:
        """Say whether what comes next stands in a code fence or behind an odd backtick of its line."""
        return bool(self._fence) or len(_BACKTICKS.findall(self._line)) % 2 == 1


def without_reasoning(text: str) -> str:
    """Return a whole answer without its reasoning; `""` if it is nothing else."""
    reasoning = ReasoningFilter()
    return reasoning.feed(text).text + reasoning.end()


def closes_reasoning(text: str) -> bool:
    """Say whether reasoning ends somewhere in `text`."""
    reasoning = ReasoningFilter()
    reasoning.feed(text)
    return reasoning.closed


def without_reasoning_in(value: Any) -> Any:
    """Return a JSON value with the reasoning taken out of each of its texts."""
    if isinstance(value, str):
        return without_reasoning(value)
    if isinstance(value, list):
        return [without_reasoning_in(item) for item in value]
    if isinstance(value, dict):
        return {key: without_reasoning_in(item) for key, item in value.items()}
    return value


def _undecided(text: str) -> int:
    """Return how many of the last characters may be the beginning of a tag."""
    begun = _BEGUN.search(text)
    if begun:
        name = begun["name"].lower()
        if name in NAMES or (begun["rest"] is None and any(known.startswith(name) for known in NAMES)):
            return len(text) - begun.start()
    bracket = _BEGUN_BRACKET.search(text)
    if bracket and "think".startswith(bracket["name"].lower()):
        return len(text) - bracket.start()
    return 0
