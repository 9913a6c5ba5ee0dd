"""`mirror chat`: the reply as it is spoken, then the mind when it has thought."""

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
    "/mind shows what is thought, /why ID what an entry of the ledger stands on, /quit or Ctrl-D leaves, "
    "Ctrl-C stops a reply."
)
RECENT = 4


def chat(thread: str, *, database: str | None, model: str | None, thinking: Thinking, user: str | None) -> None:
    """Talk on a thread until the user leaves."""
    context = MirrorContext(talker_model=chosen_model(model), thinking=thinking, user_id=user)
    with (
        open_loop_thread() as beside,
        beside.opened(open_mirror(database or default_database(), context=context)) as mirror,
    ):
        sitting = ChatSession(beside, mirror.conversation(thread), context)
        sitting.resume(thread)
        sitting.go()


class ChatSession:
    """One sitting at a conversation: the prompt waits in this thread, the graph runs in the loop beside it.

    In a terminal the mind is shown above the prompt when it arrives. In a pipe nobody waits at a prompt, so
    each message waits for the thinking about the one before, and a transcript is the same every time.
    """

    def __init__(self, beside: LoopThread, conversation: Conversation, context: MirrorContext) -> None:
        self._beside = beside
        self._conversation = conversation
        self._context = context
        self._live = sys.stdin.isatty() and sys.stdout.isatty()
        self._arriving: Future[None] | None = None

    def resume(self, thread: str) -> None:
        """Say where the conversation stands."""
        messages = self._beside.run(self._conversation.messages())
        if not messages:
            console.print(f"A new conversation, {thread!r}. {HELP}", style="dim", markup=False)
            return
        mind = self._beside.run(self._conversation.mind())
        console.print(f"resuming thread {thread!r} at turn {mind.turn + mind.lag}. {HELP}", style="dim", markup=False)
        for message in messages[-RECENT:]:
            show_said("you" if message.type == "human" else "mirror", message.text)
        console.print(mind_panel(mind))

    def go(self) -> None:
        """Answer until the user leaves."""
        for words in self._lines():
            try:
                self._heed(words)
            except KeyboardInterrupt:
                console.print("stopped; your words are kept", style="dim")
            except ReplyError as error:
                print_error(f"{error} (your words are kept: say them again to try again)")
            except MirrorError as error:
                print_error(error)
        self._finish()

    def _heed(self, words: str) -> None:
        if words == "/mind":
            mind = self._beside.run(self._conversation.mind())
            console.print(mind_panel(mind))
            show_failures(mind)
        elif words.startswith("/why "):
            self._explain(words.removeprefix("/why ").strip())
        elif words.startswith("/"):
            console.print(HELP, style="dim")
        else:
            if self._arriving is not None:
                self._arriving.cancel()
            self._beside.run(show_streamed("mirror", self._conversation.stream(words)))
            self._await_mind()

    def _explain(self, constraint_id: str) -> None:
        """Show an entry of the ledger and the whole message it came from, while the window holds it."""
        ledger = self._beside.run(self._conversation.mind()).constraints
        entry = next((it for it in ledger if it["id"] == constraint_id), None)
        if entry is None:
            print_error(f"no entry {constraint_id!r} in the ledger: /mind shows the ids")
            return
        console.print(constraint(entry))
        messages = self._beside.run(self._conversation.messages())
        message = next((it for it in messages if it.id and it.id == entry["source"]["message"]), None)
        if message:
            show_said("you", message.text)
        else:
            console.print("The message itself is no longer in the window.", style="dim")

    def _await_mind(self) -> None:
        if self._context.thinking == "off":
            return
        if self._live:
            self._arriving = self._beside.start(self._show_mind_above_prompt())
        else:
            self._beside.run(self._conversation.settle())
            self._heed("/mind")

    async def _show_mind_above_prompt(self) -> None:
        # Settling leaves the pause out in which a burst of messages becomes one pass, so it is made here.
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
        """Read what the user says, until they leave; a blank line says nothing."""
        while (line := self._read() if self._live else sys.stdin.readline()) and line.strip() != "/quit":
            if words := sanitize(line).strip():
                if not self._live:
                    show_said("you", words)
                yield words

    def _read(self) -> str:
        """Read a line at the prompt, without end only where the input ends."""
        while True:
            try:
                return input(prompt("you")) + "\n"
            except EOFError:
                print()
                return ""
            except KeyboardInterrupt:
                console.print(f"\n{HELP}", style="dim")

    def _finish(self) -> None:
        """Let the thinking under way end, or what it is about would wait for the next sitting."""
        if self._arriving is None:
            return
        self._arriving.cancel()
        with suppress(KeyboardInterrupt), console.status("finishing the thought (Ctrl-C leaves at once)"):
            self._beside.run(self._conversation.settle())


def _typed() -> str:
    """Return what stands at the prompt, not yet sent."""
    return readline.get_line_buffer() if readline else ""
