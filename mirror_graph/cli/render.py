"""Rendering of messages, minds and errors in a terminal."""

import logging
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.box import ROUNDED
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mirror_graph.host import Mind
    from mirror_graph.state import Narrative, SafetyConstraint
    from mirror_graph.state.values import Guarded

console = Console(highlight=False)
complaints = Console(highlight=False, stderr=True)

LABEL = 8
LONGEST_WORD = 24
WORDS = re.compile(r"\n|[^\S\n]+|\S+")
SPACED_WORDS = re.compile(r"\S+\s*")

PAUSED = {
    "off": "thinking is off",
    "thread budget": "paused: the thread's token budget is spent",
    "daily budget": "paused: the host's daily token budget is spent",
}
SEVERITY = {"life-threatening": "bold red", "serious": "yellow"}
STATUS = {"active": "green", "provisional": "yellow"}


def print_error(problem: object) -> None:
    """Print an error or its text as one red line."""
    complaints.print(Text(f"✗ {' '.join(str(problem).split())}", style="red"), soft_wrap=True)


class OneLine(logging.Handler):
    """Prints log records of the library as one red line each. A conversation continues after a failed pass."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, with its exception but without the traceback."""
        cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
        print_error(f"{record.getMessage()}{cause}")


def label(name: str) -> Text:
    """Return the speaker's name, padded to the width of the label column."""
    return Text(f"{name:<{LABEL}}", style="bold cyan" if name == "you" else "bold green")


def prompt(name: str) -> str:
    """Return the label for `input`. Colour codes are marked, because line editing would count them as columns."""
    with console.capture() as drawn:
        console.print(label(name), end="")
    return re.sub(r"(\x1b\[[\d;]*m)", "\001\\1\002", drawn.get())


class Speech:
    """Prints words as they arrive, next to the speaker's name, and wraps lines between words."""

    def __init__(self, speaker: str) -> None:
        self._speaker = speaker
        self._began = False
        self._room = max(console.width - LABEL, LONGEST_WORD)
        self._column = 0
        self._gap = ""
        self._held = ""

    def add(self, piece: str) -> None:
        """Print the words that `piece` completes. An incomplete word waits for its end, unless it is very long."""
        *words, self._held = WORDS.findall(self._held + piece) or [""]
        if cell_len(self._held) > LONGEST_WORD:
            words.append(self._held)
            self._held = ""
        for word in words:
            self._print(word)

    def end(self) -> None:
        """Print the remaining text and end the line. A speaker without text is not named."""
        if self._held.strip():
            self._print(self._held)
        if self._began:
            console.print()

    def _print(self, word: str) -> None:
        if not self._began:
            if word.isspace():
                return
            console.print(label(self._speaker), end="")
            self._began = True
        if word == "\n":
            self._break()
        elif word.isspace():
            self._gap = word
        else:
            if self._column and self._column + cell_len(self._gap + word) > self._room:
                self._break()
            console.out(self._gap + word, end="", highlight=False)
            self._column += cell_len(self._gap + word)
            self._gap = ""

    def _break(self) -> None:
        console.out("\n" + " " * LABEL, end="", highlight=False)
        self._column = 0
        self._gap = ""


def show_said(speaker: str, text: str) -> None:
    """Print a message with its speaker's name."""
    speech = Speech(speaker)
    speech.add(text)
    speech.end()


async def show_streamed(speaker: str, pieces: AsyncIterable[str]) -> str:
    """Print the pieces of a reply as they arrive, and return the whole reply."""
    from mirror_graph.state.text import sanitize

    speech = Speech(speaker)
    whole = ""
    waiting = console.status("")
    waiting.start()
    try:
        async for piece in pieces:
            waiting.stop()
            speech.add(sanitize(piece))
            whole += piece
    finally:
        waiting.stop()
        speech.end()
    return whole


def mind_panel(mind: "Mind", *, seconds: float | None = None) -> Panel:
    """Draw a mind: the narrative, the latest thoughts, and the constraints, most important first."""
    from mirror_graph.state.constraints import priority

    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", justify="right")
    rows.add_column()
    for name, text in [("narrative", mind.narrative), *mind.thoughts.items()]:
        if text:
            rows.add_row(name, Text(text, style="" if name == "narrative" else "italic"))
    for entry in sorted(mind.constraints, key=priority):
        rows.add_row("ledger", constraint(entry))
    if not rows.row_count:
        rows.add_row("", Text("There are no thoughts yet.", style="dim"))
    behind = f", {mind.lag} behind" if mind.lag else ""
    paused = f", {PAUSED[mind.paused]}" if mind.paused else ""
    took = "" if seconds is None else f", {seconds:.1f} s"
    title = f"mind after turn {mind.turn}{behind}{paused}{took}"
    return Panel(rows, title=title, title_align="left", box=ROUNDED, border_style="magenta")


def constraint(entry: "SafetyConstraint") -> Text:
    """Draw a constraint: severity, kind, subject, status, id and quote."""
    subject = "" if entry["subject"] == "user" else f" of {entry['subject']}"
    return Text.assemble(
        (entry["severity"], SEVERITY.get(entry["severity"], "")),
        f" {entry['kind']}{subject}: {entry['about']} (",
        (entry["status"], STATUS.get(entry["status"], "dim")),
        f", {entry['id']})\n",
        (source_line(entry), "italic dim"),
    )


def source_line(entry: "SafetyConstraint") -> str:
    """Return a constraint's quote, and the turn it comes from."""
    source = entry["source"]
    place = f"turn {source['turn']}" if source["turn"] else "added by hand"
    return f"{place}: “{source['quote']}”"


def show_history(narratives: "Iterable[Narrative]") -> None:
    """Print narratives, each under its turn."""
    for narrative in narratives:
        console.print(Rule(f"narrative of turn {narrative['turn']}", align="left", style="magenta"))
        console.print(Text(narrative["text"]))


def show_changes(narratives: "Iterable[Narrative]") -> None:
    """Print word by word what changed from each narrative to the next."""
    for before, after in pairwise(narratives):
        console.print(Rule(f"from turn {before['turn']} to turn {after['turn']}", align="left", style="magenta"))
        console.print(changes(before["text"], after["text"]))


def changes(before: str, after: str) -> Text:
    """Mark removed and added words as `git diff --word-diff` does, so that they show without colours too."""
    old, new = SPACED_WORDS.findall(before), SPACED_WORDS.findall(after)
    drawn = Text()
    for kind, left, left_end, right, right_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, came = "".join(old[left:left_end]), "".join(new[right:right_end])
        if kind == "equal":
            drawn.append(came)
            continue
        if gone:
            drawn.append(f"[-{gone}-]", style="red")
        if came:
            drawn.append(f"{{+{came}+}}", style="green")
    return drawn


def show_failures(mind: "Mind") -> None:
    """Print one line per component that has failed on the thread."""
    for component, failure in mind.failures.items():
        times = "once" if failure["count"] == 1 else f"{failure['count']} times"
        line = f"{component} failed {times}, last in turn {failure['turn']}: {failure['error']}"
        console.print(line, style="yellow", markup=False)


def show_guarded(guarded: "Iterable[Guarded]") -> None:
    """Print below a reply which parts the guard added, and for which constraint."""
    for added in guarded:
        words = " and ".join(f"“{words}”" for words in added["words"]) or "the request"
        line = f"^ the {added['place']} was added by the guard: {words} touches constraint {added['constraint']}"
        console.print(Padding(Text(line, style="cyan"), (0, 0, 0, LABEL)))


def guard_table(figures: "Mapping[str, Any]") -> Table:
    """Return a table of how often the guard adds a note."""
    table = Table("replies that people", box=None, header_style="dim", padding=(0, 2))
    for column in ("n", "notes", "share"):
        table.add_column(column, justify="right")
    for name in ("failed", "disputed", "passed", "unrelated"):
        n, notes = figures[name]["n"], figures[name]["notes"]
        table.add_row(name, f"{n:,}", f"{notes:,}", f"{notes / n:.0%}" if n else "")
    times = ", ".join(f"{name} {value:.1f} ms" for name, value in figures["milliseconds"].items())
    table.caption = f"{figures['unscanned']} constraints not found by the scanner; per reply of 100 tokens: {times}"
    return table


def usage_table(mind: "Mind") -> Table:
    """Return a table of the calls and tokens of each component."""
    table = Table("component", box=None, header_style="dim", padding=(0, 2))
    for column in ("calls", "input", "output", "cached"):
        table.add_column(column, justify="right")
    for component, usage in mind.usage.items():
        total = usage["total"]
        table.add_row(component, *(f"{total[key]:,}" for key in ("calls", "input", "output", "cached")))
    return table
