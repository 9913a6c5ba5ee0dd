"""Which thread a request belongs to: by its words alone, and what it asks of that thread."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from mirror_graph.host.heads import forget_heads
from mirror_graph.serve.heads import Heads
from mirror_graph.serve.matching import Line, Step, next_step

INTERLEAVINGS = 5_000


def chat(*texts: str) -> list[Line]:
    """Lines of both sides in turn, the user first, with their places as ids."""
    return [Line(place % 2 == 0, text, str(place)) for place, text in enumerate(texts)]


def step(window: list[Line], history: list[Line], last: str, *, lost: int = 0, sends_all: bool = True) -> Step | None:
    return next_step(window, history, Line(True, last), lost=lost, sends_all=sends_all)


DINNER = chat("I'm allergic to nuts.", "Noted.", "Dinner?", "Rice.")

CASES = {
    "a new chat": ([], [], "Hi", Step("say")),
    "a history made elsewhere": ([], DINNER, "Dessert?", Step("adopt")),
    "the next message": (DINNER, DINNER, "Dessert?", Step("say")),
    "the same message again": (DINNER, DINNER[:2], "Dinner?", Step("retake")),
    "the last message edited": (DINNER, DINNER[:2], "Lunch?", Step("edit", "2")),
    "the first message edited": (DINNER, [], "I'm allergic to milk.", Step("edit", "0")),
    "the first message again": (DINNER, [], "I'm allergic to nuts.", Step("edit", "0")),
    "the only message again": (DINNER[:2], [], "I'm allergic to nuts.", Step("retake")),
    "a message whose turn failed": (DINNER[:3], DINNER[:2], "Dinner?", Step("retake")),
    "a reply that was stopped": (DINNER[:3], [*DINNER[:3], Line(False, "Ri")], "Go on", Step("say")),
    "an earlier reply that was edited": (DINNER, [DINNER[0], Line(False, "No nuts."), *DINNER[2:]], "Dessert?", None),
    "an unread turn in between": (DINNER[:2], chat("I'm allergic to nuts.", "Noted.", "And milk.", "Oh."), "Hm", None),
    "an unread beginning": (DINNER[2:], DINNER, "Dessert?", None),
    "another conversation": (DINNER, chat("Hi", "Hello!"), "Dessert?", None),
    "a beginning that the client cut": (DINNER, DINNER[2:], "Dessert?", Step("say")),
    "a reply that was repeated": (chat("Hi", "Hello!") * 2, chat("Hi", "Hello!"), "Hi", Step("retake")),
    "words around the user's": (
        chat("Context: x. Query: Dinner?", "Rice."),
        chat("Dinner?", "Rice."),
        "Hm",
        Step("say"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_request_asks_for(name: str) -> None:
    window, history, last, expected = CASES[name]
    assert step(window, history, last) == expected


def test_a_beginning_that_left_the_window_was_read() -> None:
    assert step(DINNER[2:], DINNER, "Dessert?", lost=1) == Step("say")


def test_without_a_history_a_client_of_an_explicit_id_sends_what_is_new() -> None:
    assert step(DINNER, [], "Dessert?", sends_all=False) == Step("say")


LINES = st.lists(st.sampled_from(["Hi", "Hello!", "Yes", "I'm allergic to nuts."]), max_size=8).map(lambda t: chat(*t))


@given(LINES, LINES, st.sampled_from(["Hi", "Yes"]), st.booleans())
def test_no_line_of_a_history_is_taken_as_read_that_the_thread_does_not_hold(
    window: list[Line], history: list[Line], last: str, sends_all: bool
) -> None:
    found = step(window, history, last, sends_all=sends_all)
    if found is None or found.action == "adopt":
        return
    held = {line.text for line in window if line.is_users}
    assert {line.text for line in history if line.is_users} <= held


@given(LINES.filter(lambda lines: len(lines) % 2 == 0))
def test_a_client_that_sends_its_whole_chat_goes_on(window: list[Line]) -> None:
    assert step(window, window, "next") == Step("say")


@dataclass
class Talk:
    """A conversation of one person behind the shared key, as their client holds it."""

    lines: list[Line] = field(default_factory=list)
    thread: str | None = None


async def test_two_chats_behind_one_key_that_begin_alike_never_meet() -> None:
    """Whatever the order: a request finds only a thread that holds exactly its own history, and nobody else's."""
    chance = random.Random(9)
    for _ in range(INTERLEAVINGS):
        heads, threads = Heads(InMemoryStore(), "shared key"), dict[str, list[Line]]()
        talks = [Talk(), Talk(), Talk()]
        for _ in range(12):
            talk = chance.choice(talks)
            found = await heads.take(talk.lines) if talk.lines else None
            thread = found or f"thread {len(threads)}"
            held = threads.setdefault(thread, list(talk.lines))  # a new thread adopts the history
            assert held == talk.lines
            said = chance.choice(["Hi", "Hi", "I'm allergic to nuts.", "Dinner?"])
            talk.lines += [Line(True, said), Line(False, chance.choice(["Hello!", "Hello!", "Noted."]))]
            held[:] = talk.lines
            await heads.put(talk.lines, thread)


async def test_where_a_forgotten_thread_ended_is_forgotten() -> None:
    store = InMemoryStore()
    heads = Heads(store, "ana")
    await heads.put(DINNER, "thread")
    await heads.put(DINNER[:2], "another")
    await forget_heads(store, "ana", "thread")
    assert await heads.take(DINNER) is None
    assert await heads.take(DINNER[:2]) == "another"


async def test_a_transcript_is_found_at_its_end_only_once_and_by_its_user_only() -> None:
    store = InMemoryStore()
    ana, ben = Heads(store, "ana"), Heads(store, "ben")
    await ana.put(DINNER, "thread")
    assert await ben.take(DINNER) is None
    assert await ana.take(DINNER[:2]) is None
    assert await ana.take([*DINNER[:2], Line(True, "Dinner? Rice.")]) is None
    assert await ana.take(DINNER) == "thread"
    assert await ana.take(DINNER) is None
