"""`mirror chat`: stream each reply, then show the mind when it has been updated."""

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress

from rich.cells import cell_len

from mirror_graph.cli.defaults import chosen_model, default_database
from mirror_graph.cli.render import (
    LABEL,
    console,
    constraint,
    label,
    mind_panel,
    print_error,
    prompt,
    show_failures,
    show_guarded,
    show_said,
    show_streamed,
)
from mirror_graph.errors import MirrorError, ReplyError
from mirror_graph.host import Conversation, open_mirror
from mirror_graph.loop_thread import LoopThread, open_loop_thread
from mirror_graph.state import MirrorContext, Thinking
from mirror_graph.state.text import sanitize

try:
    import readline
except ImportError:
    readline = None  # type: ignore[assignment]  # Windows has none: its console edits lines itself

HELP = (
    "/mind shows the mind, /why ID shows where a constraint comes from, /quit or Ctrl-D leaves, Ctrl-C stops a reply."
)
RECENT = 4


def chat(thread: str, *, database: str | None, model: str | None, thinking: Thinking, user: str | None) -> None:
    """Chat on a thread until the user leaves."""
    context = MirrorContext(talker_model=chosen_model(model), thinking=thinking, user_id=user)
    with (
        open_loop_thread() as loop,
        loop.opened(open_mirror(database or default_database(), context=context)) as mirror,
    ):
        session = ChatSession(loop, mirror.conversation(thread), context)
        session.resume(thread)
        session.go()


class ChatSession:
    """One interactive session: the prompt blocks this thread, and the graph runs in an event loop on another one.

    In a terminal, an updated mind is shown above the prompt as soon as it is ready. If the input is a pipe, each
    message waits until the previous one has been thought about, so the transcript is the same on every run.
    """

    def __init__(self, loop: LoopThread, conversation: Conversation, context: MirrorContext) -> None:
        self._loop = loop
        self._conversation = conversation
        self._context = context
        self._live = sys.stdin.isatty() and sys.stdout.isatty()
        self._arriving: Future[None] | None = None

    def resume(self, thread: str) -> None:
        """Show whether the conversation is new, and if not, its last messages and its mind."""
        messages = self._loop.run(self._conversation.messages())
        if not messages:
            console.print(f"New conversation {thread!r}. {HELP}", style="dim", markup=False)
            return
        mind = self._loop.run(self._conversation.mind())
        console.print(f"Resuming {thread!r} after turn {mind.turn + mind.lag}. {HELP}", style="dim", markup=False)
        for message in messages[-RECENT:]:
            show_said("you" if message.type == "human" else "mirror", message.text)
        console.print(mind_panel(mind))

    def go(self) -> None:
        """Answer until the user leaves."""
        for words in self._lines():
            try:
                self._answer(words)
            except KeyboardInterrupt:
                console.print("Stopped. Your message was saved.", style="dim")
            except ReplyError as error:
                print_error(f"{error}. Your message was saved: send it again to retry.")
            except MirrorError as error:
                print_error(error)
        self._finish()

    def _answer(self, words: str) -> None:
        if words == "/mind":
            mind = self._loop.run(self._conversation.mind())
            console.print(mind_panel(mind))
            show_failures(mind)
        elif words.startswith("/why "):
            self._explain(words.removeprefix("/why ").strip())
        elif words.startswith("/"):
            console.print(HELP, style="dim")
        else:
            if self._arriving is not None:
                self._arriving.cancel()
            stream = self._conversation.stream(words)
            self._loop.run(show_streamed("mirror", stream))
            show_guarded(stream.reply.guarded)
            self._await_mind()

    def _explain(self, constraint_id: str) -> None:
        """Show a constraint, and the message it comes from if the window still holds that message."""
        ledger = self._loop.run(self._conversation.mind()).constraints
        entry = next((known for known in ledger if known["id"] == constraint_id), None)
        if entry is None:
            print_error(f"no constraint {constraint_id!r} in this conversation: /mind shows the ids")
            return
        console.print(constraint(entry))
        messages = self._loop.run(self._conversation.messages())
        message = next((known for known in messages if known.id and known.id == entry["source"]["message"]), None)
        if message:
            show_said("you", message.text)
        else:
            console.print("The message is no longer in the window.", style="dim")

    def _await_mind(self) -> None:
        if self._context.thinking == "off":
            return
        if self._live:
            self._arriving = self._loop.start(self._show_mind_above_prompt())
        else:
            self._loop.run(self._conversation.settle())
            self._answer("/mind")

    async def _show_mind_above_prompt(self) -> None:
        # settle() skips the pause that merges a burst of messages into one pass, so the pause is made here.
        await asyncio.sleep(self._context.think_after)
        try:
            await self._conversation.settle()
            mind = await self._conversation.mind()
        except MirrorError as error:
            self._clear_prompt()
            print_error(error)
        else:
            self._clear_prompt()
            console.print(mind_panel(mind))
            show_failures(mind)
        console.print(label("you"), end="")
        print(_typed(), end="", flush=True)

    def _clear_prompt(self) -> None:
        rows = (LABEL + cell_len(_typed())) // console.width
        print("\r" + "\x1b[A" * rows + "\x1b[J", end="", flush=True)

    def _lines(self) -> Iterator[str]:
        """Read messages until the user leaves. Blank lines are skipped."""
        while (line := self._read() if self._live else sys.stdin.readline()) and line.strip() != "/quit":
            if words := sanitize(line).strip():
                if not self._live:
                    show_said("you", words)
                yield words

    def _read(self) -> str:
        """Read one line at the prompt. It has no line break only at the end of the input."""
        while True:
            try:
                return input(prompt("you")) + "\n"
            except EOFError:
                print()
                return ""
            except KeyboardInterrupt:
                console.print(f"\n{HELP}", style="dim")

    def _finish(self) -> None:
        """Let a running pass finish. Otherwise its exchange would wait for the next session."""
        if self._arriving is None:
            return
        self._arriving.cancel()
        with suppress(KeyboardInterrupt), console.status("finishing the thinking pass (Ctrl-C leaves at once)"):
            self._loop.run(self._conversation.settle())


def _typed() -> str:
    """Return what has been typed at the prompt but not sent."""
    return readline.get_line_buffer() if readline else ""
