"""The pages under docs/ are true: the drawings are the graphs, and the examples do what the page says."""

import ast
import asyncio
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext, build_mirror, build_recommend, build_talker, build_thinker, open_mirror
from mirror_graph.errors import MessageRefusedError
from mirror_graph.evals.guard import measure
from mirror_graph.models.scripted import register_script

DOCS = Path(__file__).parent.parent / "docs"
SECTIONS = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (DOCS / "conversations.md").read_text(), re.DOTALL | re.MULTILINE)
IMPORTS = "from langchain_core.messages import AIMessage, HumanMessage\n"


CHAT = (build_mirror, build_talker, build_thinker)


@pytest.mark.parametrize(
    ("page", "builders"), [("architecture.md", (*CHAT, build_recommend)), ("concepts/graph.md", CHAT)]
)
def test_each_graph_is_drawn_as_it_is(page: str, builders: Sequence[Callable[[], Any]]) -> None:
    drawn = re.findall(r"^```mermaid\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    graphs = [build().compile().get_graph() for build in builders]
    assert [text.strip() for text in drawn] == [graph.draw_mermaid(with_styles=False).strip() for graph in graphs]


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("quickstart.md", "['shellfish']"),
        ("concepts/ledger.md", "life-threatening shellfish\n[]\n"),
        ("concepts/guard.md", "touched by: ['paella'] in the request\nstated in turn 1 as: I'm severely allergic to"),
    ],
)
def test_a_program_of_a_first_page_runs_as_it_stands(
    page: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [program] = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    exec(program, {"__name__": "__main__"})
    assert printed in capsys.readouterr().out


def test_the_rated_replies_of_a_page_are_a_file_that_the_guard_is_measured_on(tmp_path: Path) -> None:
    [rows] = re.findall(r"^```csv\n(.*?)^```", (DOCS / "benchmarks.md").read_text(), re.DOTALL | re.MULTILINE)
    file = tmp_path / "replies.csv"
    file.write_text(rows)
    figures = measure(file)
    assert (figures["failed"], figures["passed"]) == ({"n": 2, "notes": 2}, {"n": 1, "notes": 0})
    assert (figures["unscanned"], figures["unrelated"]["n"]) == (0, 4)


class Page:
    """One section of conversations.md, played on a thread of its own."""

    def __init__(self, title: str) -> None:
        self.prompts: list[Sequence[BaseMessage]] = []
        name = f"pages-{uuid4()}"
        register_script(name, self._answer)
        self.context = context = MirrorContext(f"scripted:{name}", user_id="ana", think_after=0)
        self._graph = build_mirror().compile(checkpointer=InMemorySaver())
        self.config: Any = {"configurable": {"thread_id": str(uuid4())}}
        self.names: dict[str, Any] = {"graph": _WithContext(self._graph, context), "config": self.config}
        self._program = "".join(re.findall(r"^```python\n(.*?)^```", dict(SECTIONS)[title], re.DOTALL | re.MULTILINE))

    def _answer(self, messages: Sequence[BaseMessage]) -> str:
        if "You are a kind companion" not in messages[0].text:
            return "I think about it."
        self.prompts.append(messages)
        return f"Reply {len(self.prompts)}."

    async def say(self, *messages: Any) -> str:
        """Take a turn before the example begins, and return the reply."""
        state = await self.names["graph"].ainvoke({"messages": list(messages)}, self.config)
        text: str = state["messages"][-1].text
        return text

    async def play(self, **names: Any) -> None:
        """Run the section's example, which may use `names`."""
        self.names |= names
        code: CodeType = compile(IMPORTS + self._program, "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        started = eval(code, self.names)
        if inspect.isawaitable(started):
            await started

    @property
    def asked(self) -> str:
        """What the talker read last in the user's place: the block of the mind, then the user's words."""
        return self.prompts[-1][-1].text

    async def state(self) -> dict[str, Any]:
        values: dict[str, Any] = (await self._graph.aget_state(self.config)).values
        return values


class _WithContext:
    """A graph as the page names it: with the context that a program would pass."""

    def __init__(self, graph: Any, context: MirrorContext) -> None:
        self._graph = graph
        self._context = context

    async def ainvoke(self, given: Any, config: Any) -> Any:
        return await self._graph.ainvoke(given, config, context=self._context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)


def test_every_section_has_its_test() -> None:
    tested = Path(__file__).read_text()
    assert [title for title, _ in SECTIONS if f'Page("{title}")' not in tested] == []


async def test_an_edit_replaces_the_words_of_the_message() -> None:
    page = Page("Edits")
    await page.play()
    assert "peanuts" in page.asked
    assert "sesame" not in page.asked
    assert [message.text for message in (await page.state())["messages"]][1:] == ["Reply 2."]


async def test_a_regenerated_reply_takes_the_place_of_the_old_one() -> None:
    page = Page("Regenerated replies")
    await page.say(HumanMessage("I'm allergic to kiwi. What's for dessert?"))
    await page.play()
    assert "kiwi" in page.asked
    assert [message.text for message in (await page.state())["messages"]][1:] == ["Reply 2."]


async def test_a_fork_goes_on_from_its_checkpoint() -> None:
    page = Page("Forks")
    for words in ("Hello.", "I'm allergic to kiwi."):
        await page.say(HumanMessage(words))
    await page.play()
    values = await page.state()
    assert "Let us eat out instead." in [message.text for message in values["messages"]]
    assert len({answered["reply"] for answered in values["branch"]}) == len(values["branch"])


async def test_a_cleared_chat_starts_over() -> None:
    page = Page("Cleared chats")
    await page.say(HumanMessage("I like boats. I'm allergic to kiwi."))
    await page.play()
    assert [message.text for message in (await page.state())["messages"]] == ["Hello again.", "Reply 2."]
    assert "boats" not in page.asked
    assert "kiwi" not in page.asked
    assert "I think about it." not in page.asked


async def test_a_resent_transcript_is_read_once() -> None:
    page = Page("Resent transcripts")
    first_reply = await page.say(HumanMessage("I'm allergic to celery."))
    await page.play(first_reply=first_reply)
    words = [message.text for message in (await page.state())["messages"]]
    assert words == ["I'm allergic to celery.", "Reply 1.", "What's for dinner?", "Reply 2."]
    assert "celery" in page.asked


async def test_in_a_group_a_constraint_is_its_speakers() -> None:
    page = Page("Groups")
    await page.play()
    assert "ana: What shall I bake?" in page.asked
    assert 'allergy of "bob"' in page.asked
    await page.say(HumanMessage("And what may I eat?", name="bob"))
    assert 'allergy of "bob"' not in page.asked
    assert "walnuts" in page.asked


async def test_a_system_message_joins_the_one_of_ours() -> None:
    page = Page("System messages")
    await page.play()
    assert [message.type for message in page.prompts[-1]] == ["system", "human"]
    assert "Answer in verse." in page.prompts[-1][0].text


async def test_tools_stay_out_of_the_prompt_and_other_agents_stay_in() -> None:
    page = Page("Tools and other agents")
    await page.play()
    assert [message.type for message in page.prompts[-1]] == ["system", "human", "ai", "human"]
    assert page.prompts[-1][2].text == "Sunny."
    assert "Then let us eat outside." in page.asked


async def test_nothing_to_answer_is_refused() -> None:
    page = Page("Nothing to answer")
    with pytest.raises(MessageRefusedError):
        await page.play()
    assert page.prompts == []
    assert await page.say(HumanMessage("Hello.")) == "Reply 1."


async def test_a_host_takes_a_history_and_goes_back_for_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Page("On a host")
    await page.play(context=page.context)
    shown, listed = page.names["shown"], page.names["listed"]
    assert [message.text for message in shown][:3] == ["I'm allergic to celery.", "I see.", "What shall I bake?"]
    assert [one.title for one in listed] == ["I'm allergic to celery."]
    assert len(page.prompts) == 3
    assert "celery" in page.asked
    assert "Answer in verse." in page.prompts[-1][0].text


async def test_a_watch_prints_thoughts_and_then_the_narrative(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page("Watching a mind")
    async with open_mirror(context=page.context) as mirror:
        conversation = mirror.conversation("t")
        watching = asyncio.create_task(page.play(conversation=conversation))
        await conversation.say("Hello.")
        await conversation.settle(timeout=100)
    await asyncio.wait_for(watching, 100)
    printed = capsys.readouterr().out
    assert "goals I think about it." in printed
    assert printed.endswith("I think about it. 0\n")
