"""The page in a browser: what arrives, where it arrives, and what survives."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from mirror_graph.testing.endpoint import Answer, Call
from tests.browser.conftest import Server, Visit, key_of, mounted, say, wait_for_mind
from tests.replies import Replies

pytestmark = pytest.mark.browser

Begin = Callable[..., Visit]
ALLERGY = "I am allergic to peanuts. What shall I cook?"
WORDS = " ".join(f"word{number}" for number in range(40))
GROWTH = """
window.lengths = [];
new MutationObserver(() => {
  const reply = document.querySelector(".reply .text");
  const length = reply ? reply.textContent.length : 0;
  if (length && window.lengths.at(-1) !== length) window.lengths.push(length);
}).observe(document.querySelector("#messages"), { childList: true, subtree: true, characterData: true });
"""


def cards(page: Page) -> list[str]:
    return page.locator("#ledger .card blockquote").all_inner_texts()


def thoughts(page: Page) -> list[str]:
    return page.locator("#thoughts h3").all_inner_texts()


def test_a_reply_of_nothing_but_quotations_in_quotations_is_shown(visit: Begin, models: Replies) -> None:
    models.by_component["talker"] = ">" * 20_000 + " So it ends."
    page = visit().open()
    say(page, "Hello.")
    expect(page.locator(".reply.whole .text")).to_contain_text("So it ends.")


def test_a_reply_grows_piece_by_piece(visit: Begin, models: Replies) -> None:
    models.by_component["talker"] = Answer(WORDS, pause=0.03)
    page = visit().open()
    page.evaluate(f"() => {{ {GROWTH} }}")
    say(page, "Count for me")
    expect(page.locator(".reply.whole .text")).to_have_text(WORDS)
    lengths = page.evaluate("() => window.lengths")
    assert len(lengths) > 3
    assert lengths == sorted(lengths)
    expect(page.get_by_label("Message", exact=True)).to_be_empty()


def test_thoughts_narrative_and_ledger_arrive_one_by_one_without_a_request(visit: Begin, models: Replies) -> None:
    held = {name: threading.Event() for name in ("goals", "reasoning", "memory", "synthesis")}
    for name, event in held.items():
        text = models.by_component[name]
        assert isinstance(text, str)
        models.by_component[name] = Answer(text, hold=event)
    visited = visit()
    page = visited.open()
    say(page, ALLERGY)
    expect(page.locator(".reply.whole")).to_have_count(1)
    expect(page.locator("#lag")).to_have_text("Thinking, 1 turn behind")
    before = len(visited.requests)
    held["reasoning"].set()
    expect(page.locator("#thoughts")).to_contain_text("Food may be a risk.")
    assert thoughts(page) == ["reasoning"]
    held["goals"].set()
    expect(page.locator("#thoughts")).to_contain_text("They want to plan a dinner.")
    assert thoughts(page) == ["goals", "reasoning"]
    expect(page.locator("#narrative")).to_contain_text("Nothing yet")
    held["memory"].set()
    held["synthesis"].set()
    wait_for_mind(page, 1)
    expect(page.locator("#narrative")).to_contain_text("allergic to peanuts")
    expect(page.locator("#ledger .card blockquote")).to_contain_text(["allergic to peanuts"])
    assert thoughts(page) == ["goals", "reasoning", "memory"]
    assert len(visited.requests) == before


def test_a_second_tab_shows_the_same_at_once_and_follows(visit: Begin, models: Replies) -> None:
    visited = visit()
    first = visited.open()
    say(first, ALLERGY)
    wait_for_mind(first, 1)
    second = visited.open()
    expect(second.locator(".reply.whole .text")).to_have_text("I hear you.")
    wait_for_mind(second, 1)
    models.by_component["talker"] = Answer(WORDS, pause=0.03)
    say(second, "And now?")
    expect(first.locator(".asked")).to_have_count(2)
    expect(first.locator(".reply.whole .text").last).to_have_text(WORDS)
    assert first.locator("#messages").inner_text() == second.locator("#messages").inner_text()


def test_a_tab_that_opens_in_mid_reply_shows_all_of_it(visit: Begin, models: Replies) -> None:
    models.by_component["talker"] = Answer(WORDS, pause=0.1)
    visited = visit()
    first = visited.open()
    say(first, "Count")
    expect(first.locator(".reply .text")).to_contain_text("word3")
    second = visited.open()
    expect(second.locator(".reply.running .text")).to_contain_text("word0 word1")
    expect(second.locator(".reply.whole .text")).to_have_text(WORDS)


def test_another_user_sees_nothing_of_it(visit: Begin, other_user: str) -> None:
    mine = visit().open()
    say(mine, ALLERGY)
    wait_for_mind(mine, 1)
    theirs = visit(other_user).open()
    expect(theirs.locator("#empty")).to_be_visible()
    expect(theirs.locator("#user")).to_have_text(f"Signed in as {other_user}")
    assert "peanut" not in theirs.locator("body").inner_text()
    assert cards(theirs) == []


def test_a_visitor_without_a_key_is_asked_for_it(browser: Browser, server: Server, models: Replies) -> None:
    visited = Visit(browser, server.url, None)
    visited.may_fail = True  # the first request is refused
    page = visited.context.new_page()
    page.goto(server.url)
    key = page.get_by_label("Your API key or token")
    key.fill("a-key-that-no-user-has-but-long-enough")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("not valid")
    key.fill("user99-has-a-key-that-is-long-enough-for-a-test")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#user")).to_have_text("Signed in as user99")
    visited.close()


def test_whoever_signs_in_next_in_a_tab_sees_and_sends_nothing_of_the_user_before(
    browser: Browser, server: Server, models: Replies
) -> None:
    visited = Visit(browser, server.url, None)
    visited.may_fail = True  # requests without a key are refused
    page = visited.context.new_page()
    page.goto(server.url)
    page.get_by_label("Your API key or token").fill(key_of("user98"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#user")).to_have_text("Signed in as user98")
    page.get_by_label("Message", exact=True).fill("A secret of user98")
    page.evaluate("sessionStorage.setItem('mirror-key', 'a-key-that-has-ended-by-now')")
    page.get_by_label("Message", exact=True).press("Enter")

    page.get_by_label("Your API key or token").fill(key_of("user97"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#user")).to_have_text("Signed in as user97")
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    assert "secret" not in page.locator("body").inner_text()
    assert page.evaluate("JSON.stringify(sessionStorage)").count("secret") == 0
    visited.close()


def test_a_page_that_is_left_open_and_its_draft_survive_a_kill_of_the_server_in_mid_reply(
    browser: Browser, own_server: Server, models: Replies
) -> None:
    visited = Visit(browser, own_server.url, None)
    visited.may_fail = True
    page = visited.open()
    box = page.get_by_label("Message", exact=True)
    say(page, ALLERGY)
    wait_for_mind(page, 1)
    models.by_component["talker"] = Answer(WORDS, pause=0.5)
    say(page, "Count")
    expect(page.locator(".reply.running .text")).to_contain_text("word1")
    box.fill("A draft that I")

    own_server.kill()
    expect(page.locator("#connection")).to_have_text("Reconnecting…")
    box.press_sequentially(" go on writing")
    page.get_by_role("button", name="Stop the reply").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")

    models.by_component["talker"] = "Here I am."
    own_server.start()
    expect(page.locator("#connection")).to_be_empty()
    expect(page.locator(".reply.unanswered")).to_contain_text("This message has no reply.")
    expect(page.locator("#ledger .card")).to_have_count(1)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".reply.whole .text").last).to_have_text("Here I am.")
    expect(box).to_have_value("A draft that I go on writing")
    page.reload()
    expect(box).to_have_value("A draft that I go on writing")
    page.keyboard.press("Enter")
    wait_for_mind(page, 3)
    expect(page.locator(".asked .bubble")).to_have_text([ALLERGY, "Count", "A draft that I go on writing"])

    assert own_server.process is not None
    own_server.process.terminate()  # the open stream of the page must not hold it
    assert own_server.process.wait(30) == 0
    visited.close()


def test_the_page_works_at_a_sub_path(browser: Browser, models: Replies, tmp_path: Path) -> None:
    with mounted("/below/mirror", tmp_path / "mirror.db") as url:
        visited = Visit(browser, url, None)
        page = visited.context.new_page()
        page.goto(url.rstrip("/"))  # without the slash
        expect(page).to_have_url(re.compile(f"^{re.escape(url)}#"))
        say(page, ALLERGY)
        wait_for_mind(page, 1)
        expect(page.locator("#ledger .card")).to_have_count(1)
        visited.close()


def test_edit_retract_restore_and_forget_are_seen_in_the_other_tab(visit: Begin) -> None:
    visited = visit()
    other, page = visited.open("second"), visited.open()
    say(page, ALLERGY)
    wait_for_mind(page, 1)
    expect(other.locator("#ledger .card")).to_have_count(1)
    card = page.locator("#ledger .card")
    expect(card.locator(".person")).to_have_text("You")
    card.get_by_role("button", name="Show the message").click()
    expect(page.locator(".asked").first).to_be_focused()

    card.get_by_role("button", name="Edit").click()
    card.get_by_label("What it is about").fill("peanuts and lupin")
    card.get_by_label("Whose it is").fill("my sister")
    card.get_by_role("button", name="Save").click()
    for tab in (page, other):
        expect(tab.locator("#ledger .card .why")).to_contain_text("peanuts and lupin")
        expect(tab.locator("#ledger .card .person")).to_have_text("my sister")

    card.get_by_role("button", name="Retract").click()
    expect(other.locator("#ledger .card.retracted")).to_have_count(1)
    card.get_by_role("button", name="Restore").click()
    expect(other.locator("#ledger .card.active")).to_have_count(1)

    card.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    for tab in (page, other):
        expect(tab.locator("#ledger .card")).to_have_count(0)


def test_eight_tabs_all_work_because_a_hidden_tab_holds_no_stream(visit: Begin) -> None:
    visited = visit()
    tabs: list[Page] = []
    for _ in range(8):
        for tab in tabs:
            tab.evaluate("() => window.becomes('hidden')")
        tabs.append(visited.open())
    say(tabs[-1], ALLERGY)
    wait_for_mind(tabs[-1], 1)
    expect(tabs[0].locator(".reply")).to_have_count(0)
    tabs[-1].evaluate("() => window.becomes('hidden')")
    tabs[0].evaluate("() => window.becomes('visible')")
    expect(tabs[0].locator(".reply.whole")).to_have_count(1)
    wait_for_mind(tabs[0], 1)


def test_a_phone_that_is_offline_in_mid_reply_loses_nothing(visit: Begin, models: Replies) -> None:
    models.by_component["talker"] = Answer(WORDS, pause=0.1)
    visited = visit()
    visited.may_fail = True
    page = visited.open()
    say(page, "Count")
    expect(page.locator(".reply .text")).to_contain_text("word2")
    visited.context.set_offline(True)
    expect(page.locator("#connection")).to_have_text("Reconnecting…")
    visited.context.set_offline(False)
    expect(page.locator(".reply.whole .text")).to_have_text(WORDS)


def test_a_message_that_is_sent_twice_is_answered_once(visit: Begin) -> None:
    visited = visit()
    page = visited.open()
    body = "{ conversation: 'first', id: 'the-same-id-twice', text: 'Once' }"
    headers = """{
        "Content-Type": "application/json",
        Authorization: `Bearer ${sessionStorage.getItem("mirror-key")}`,
    }"""
    options = f"{{ method: 'POST', body: JSON.stringify({body}), headers: {headers} }}"
    post = f"async () => (await fetch('page/messages', {options})).status"
    assert page.evaluate(post) == 202
    assert page.evaluate(post) == 202
    expect(page.locator(".reply.whole")).to_have_count(1)
    assert page.evaluate(post) == 202
    wait_for_mind(page, 1)
    expect(page.locator(".asked")).to_have_count(1)


def test_a_reply_can_be_stopped_and_asked_for_again(visit: Begin, models: Replies) -> None:
    models.by_component["talker"] = Answer(WORDS, pause=0.5)
    page = visit().open()
    say(page, "Count")
    expect(page.locator(".reply .text")).to_contain_text("word1")
    page.keyboard.press("Escape")
    expect(page.locator(".reply.stopped .state")).to_contain_text("Stopped")
    models.by_component["talker"] = "Shorter."
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".reply.whole .text")).to_have_text(["Shorter."])
    expect(page.locator(".asked")).to_have_count(1)


def test_a_failed_reply_says_why_and_can_be_asked_for_again(visit: Begin, models: Replies) -> None:
    models.by_component["talker"] = Answer(status=400, error="the model is out of order")
    page = visit().open()
    say(page, "Hello")
    expect(page.locator(".reply.failed .state")).not_to_be_empty()
    models.by_component["talker"] = "Hello yourself."
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".reply.whole .text")).to_have_text(["Hello yourself."])


def test_a_reply_is_regenerated_and_a_message_is_edited(visit: Begin, models: Replies) -> None:
    page = visit().open()
    say(page, ALLERGY)
    wait_for_mind(page, 1)
    models.by_component["talker"] = "A second try."
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".reply.whole .text")).to_have_text(["A second try."])
    wait_for_mind(page, 2)

    def answer(call: Call) -> str:
        return "Eggs." if "eggs" in call.prompt else "Peanuts."

    models.by_component["talker"] = answer
    page.get_by_role("button", name="Edit your last message").click()
    page.get_by_label("Edit your message").fill("I am allergic to eggs. What shall I cook?")
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".reply.whole .text")).to_contain_text(["Eggs."])
    expect(page.locator(".asked .bubble")).to_have_text(["I am allergic to eggs. What shall I cook?"])
    expect(page.locator("#lag")).to_contain_text("Up to date")
    expect(page.locator("#ledger .card blockquote")).to_have_text(["“I am allergic to eggs.”"])


def test_the_guards_note_is_marked_and_names_what_touched_what(visit: Begin, models: Replies) -> None:
    page = visit().open()
    say(page, "I am severely allergic to peanuts.")
    wait_for_mind(page, 1)
    models.by_component["talker"] = "Lovely. Start with a paste of chillies and garlic, and fry it."
    say(page, "Give me a recipe for satay sauce with peanut butter.")
    note = page.get_by_role("note", name="Added by the guard")
    expect(note).to_contain_text("“I am severely allergic to peanuts")
    expect(note.locator(".touched")).to_contain_text("touches")
    note.get_by_role("button").click()
    expect(page.locator("#ledger .card")).to_be_focused()


def test_a_card_says_whose_a_constraint_is_in_the_users_words(visit: Begin) -> None:
    page = visit().open()
    say(page, "My sister is severely allergic to walnuts. What shall I cook for her?")
    wait_for_mind(page, 1)
    card = page.locator("#ledger .card")
    expect(card.locator(".person")).to_have_text("my sister")
    expect(card.locator("blockquote")).to_have_text("“My sister is severely allergic to walnuts.”")
    expect(card.locator(".why")).to_contain_text("walnuts · allergy · since")


def test_history_shows_how_the_narrative_changed(visit: Begin, models: Replies) -> None:
    models.by_component["synthesis"] = lambda call: (
        "I know more now." if "I know little yet." in call.prompt else "I know little yet."
    )
    page = visit().open()
    say(page, "Hello")
    wait_for_mind(page, 1)
    say(page, "Hello again")
    wait_for_mind(page, 2)
    page.get_by_role("button", name="History").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h3")).to_have_text(["After turn 2", "After turn 1"])
    expect(dialog.locator("ins").first).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_conversations_are_listed_and_deleted(visit: Begin) -> None:
    page = visit().open("one")
    say(page, "The first conversation")
    wait_for_mind(page, 1)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#empty")).to_be_visible()
    say(page, "The second conversation")
    wait_for_mind(page, 1)
    expect(page.locator("#conversations a")).to_have_text(["The second conversation", "The first conversation"])
    page.get_by_role("link", name="The first conversation").click()
    expect(page.locator(".asked .bubble")).to_have_text(["The first conversation"])
    page.get_by_role("button", name="Delete the conversation The second conversation").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#conversations a")).to_have_text(["The first conversation"])


def test_a_reply_is_text_and_loads_nothing(visit: Begin, models: Replies) -> None:
    hostile = (
        "**Bold** and `code`\n\n<img src=x onerror=alert(1)> ![picture](https://example.com/p.png)\n\n"
        "- one\n- two\n\n<script>alert(1)</script> [link](https://example.com)"
    )
    models.by_component["talker"] = hostile
    page = visit().open()
    say(page, "<b>Hello</b>")
    text = page.locator(".reply.whole .text")
    expect(text).to_contain_text("<img src=x onerror=alert(1)>")
    expect(text.locator("strong")).to_have_text("Bold")
    expect(text.locator("li")).to_have_text(["one", "two"])
    expect(text.locator("img, a, script")).to_have_count(0)
    expect(page.locator(".asked .bubble")).to_have_text("<b>Hello</b>")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(visit: Begin, models: Replies, scheme: str, width: int) -> None:
    page = visit(color_scheme=scheme).open()
    axe = Axe()
    page.set_viewport_size({"width": width, "height": 844})
    found = [axe.run(page)]
    page.set_viewport_size({"width": 1280, "height": 844})
    say(page, "I am severely allergic to peanuts.")
    wait_for_mind(page, 1)
    say(page, "Give me a recipe for satay sauce with peanut butter.")
    wait_for_mind(page, 2)
    page.locator("#tokens-total").click()
    page.set_viewport_size({"width": width, "height": 844})
    found.append(axe.run(page))
    if width == 390:
        page.get_by_role("button", name="Mind").click()
        found.append(axe.run(page))
    page.get_by_role("button", name="History").click()
    found.append(axe.run(page))
    page.keyboard.press("Escape")
    page.locator("#ledger").get_by_role("button", name="Edit").first.click()
    found.append(axe.run(page))
    assert [violation["id"] for one in found for violation in one.response["violations"]] == []


def test_a_phone_shows_everything_without_scrolling_sideways(visit: Begin, models: Replies) -> None:
    long = "https://example.com/" + "a" * 300
    models.by_component["talker"] = f"{long}\n\n```\n{'x' * 300}\n```\n\n" + "Much text. " * 200
    page = visit(has_touch=True, is_mobile=True).open()
    page.set_viewport_size({"width": 390, "height": 844})
    say(page, f"I am allergic to peanuts. {long}")
    expect(page.locator(".reply.whole")).to_have_count(1)
    box = page.get_by_label("Message", exact=True)
    for panel in ("Mind", "Conversations"):
        assert page.evaluate("() => document.documentElement.scrollWidth") == 390
        expect(box).to_be_in_viewport(ratio=1)
        opener = page.get_by_role("button", name=panel)
        opener.click()
        expect(page.locator("main")).to_have_attribute("inert", "")
        page.keyboard.press("Escape")
        expect(opener).to_be_focused()
    page.set_viewport_size({"width": 390, "height": 420})  # the keyboard is open
    expect(box).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Regenerate")).to_be_in_viewport()


def test_the_page_works_by_keyboard_alone(visit: Begin) -> None:
    page = visit().open()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.type("First line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    page.keyboard.press("Enter")
    expect(page.locator(".asked .bubble")).to_have_text("First line\nsecond line")
    wait_for_mind(page, 1)
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"Regenerate", "Edit", "open-history", "new-conversation", "message"} <= reached


def test_motion_is_left_out_for_those_who_want_none(visit: Begin) -> None:
    page = visit(reduced_motion="reduce").open()
    say(page, ALLERGY)
    wait_for_mind(page, 1)
    assert page.evaluate("() => document.getAnimations().length") == 0
