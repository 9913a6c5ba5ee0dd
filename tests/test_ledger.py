"""The ledger: what a user told of themselves stays, in their own words, until their own words take it back."""

import json
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_graph import open_mirror
from mirror_graph.ledger.assertion import is_asserted
from mirror_graph.ledger.narrative_guard import restore_dangers
from mirror_graph.ledger.quotes import find_quote
from mirror_graph.ledger.repeats import add, retract, with_provisional
from mirror_graph.ledger.retraction import find_retracted, is_retraction
from mirror_graph.ledger.update import update_ledger
from mirror_graph.ledger.user_messages import UserMessage, scan_messages
from mirror_graph.state.constraints import CONSTRAINT_LIMIT, active, heaviest, merge_constraints
from mirror_graph.state.tokens import count_tokens
from mirror_graph.state.values import Notes
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.builders import constraint, context, whole_or_share
from tests.replies import Replies, prompts_of


def noted(**notes: Any) -> str:
    return json.dumps({"thought": "I keep it in mind.", "told": [], "taken_back": [], "no_danger": [], **notes})


abouts = st.sampled_from(["peanuts", "bees", "heights", "blood"])
entries = st.builds(
    constraint,
    abouts,
    kind=st.sampled_from(["allergy", "phobia"]),
    turn=st.integers(0, 5),
    status=st.sampled_from(["active", "retracted", "superseded"]),
    severity=st.sampled_from(["life-threatening", "serious", "preference"]),
)
ledgers = st.lists(entries, max_size=6)


@given(st.lists(ledgers, min_size=1, max_size=3))
def test_ledgers_merge_the_same_in_any_order_and_any_number(stated: list[Any]) -> None:
    merged = reduce(merge_constraints, stated, [])
    for order in permutations(stated):
        assert reduce(merge_constraints, order, []) == merged
    assert reduce(merge_constraints, [*stated, *stated, merged], []) == merged


@given(ledgers, ledgers, ledgers)
def test_grouping_does_not_matter(a: Any, b: Any, c: Any) -> None:
    assert merge_constraints(merge_constraints(a, b), c) == merge_constraints(a, merge_constraints(b, c))


@given(st.integers(0, 200), st.integers(0, 70))
def test_a_full_ledger_keeps_what_can_kill(harmless: int, deadly: int) -> None:
    many = [constraint(f"thing {n}", turn=n, severity="preference") for n in range(harmless)]
    grave = [constraint(f"danger {n}", turn=n, severity="life-threatening") for n in range(deadly)]
    left = merge_constraints(many, grave)
    assert len(left) <= CONSTRAINT_LIMIT
    assert len([constraint for constraint in left if constraint["severity"] == "life-threatening"]) == min(
        deadly, CONSTRAINT_LIMIT
    )
    assert left == sorted(heaviest(left), key=lambda constraint: (constraint["first_turn"], constraint["id"]))


def test_told_again_it_is_one_entry_with_the_graver_word_and_the_fuller_quote() -> None:
    ledger = add([], constraint(turn=1))
    fuller = constraint(
        "peanut", turn=4, severity="life-threatening", quote="One peanut would kill me, I am that allergic."
    )
    [stated] = add(ledger, fuller)
    assert (stated["severity"], stated["first_turn"], stated["source"]["turn"]) == ("life-threatening", 1, 4)
    assert stated["source"]["quote"].startswith("One peanut")
    [milder] = add([stated], constraint(turn=5))
    assert (milder["severity"], milder["source"]["quote"]) == ("life-threatening", stated["source"]["quote"])


def test_a_constraint_stated_retracted_and_stated_again_is_active_with_its_history() -> None:
    ledger = add([], constraint(turn=1))
    ledger = retract(
        ledger, ledger[0], {"message": "", "turn": 2, "quote": "not any more", "language": "", "recorded_at": 2.0}
    )
    assert [(constraint["status"], constraint["source"]["turn"]) for constraint in ledger] == [
        ("retracted", 2),
        ("superseded", 1),
    ]
    assert active(ledger) == []
    ledger = add(ledger, constraint(turn=3))
    assert [constraint["status"] for constraint in active(ledger)] == ["active"]
    assert sorted((constraint["source"]["turn"], constraint["status"]) for constraint in ledger) == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "active"),
    ]


@pytest.mark.parametrize(
    ("quote", "said", "found"),
    [
        ("i\u2019m ALLERGIC to peanuts", "Hi! I'm allergic to  peanuts, so.", "I'm allergic to  peanuts"),
        ("I am allergic", "I'm allergic", None),
        ("allergisch gegen Nüsse", "Ich bin allergisch gegen Nüsse.", "allergisch gegen Nüsse"),
        ("a", "a", None),
        ("peanut", "peanuts", None),
        ("I'm allergic to nuts", 'She wrote: "I\'m allergic to nuts and to people who talk too much"', None),
        ("I'm allergic to nuts", "> I'm allergic to nuts\nNo idea who that is.", None),
    ],
)
def test_a_quote_counts_only_in_the_users_own_words(quote: str, said: str, found: str | None) -> None:
    assert find_quote(quote, said) == found


@given(st.text(max_size=60), st.text(max_size=200))
def test_a_found_quote_is_verbatim(quote: str, said: str) -> None:
    found = find_quote(quote, said)
    assert found is None or found in said


@pytest.mark.parametrize(
    "quote",
    [
        "I'm not allergic to peanuts any more",
        "I am no longer allergic to peanuts.",
        "I outgrew my peanut allergy",
        "It turned out I was never allergic to peanuts",
        "The doctor ruled out the peanut allergy, I tested negative",
        "Ich bin nicht mehr gegen peanuts allergisch",
        "Ya no soy alérgica a los peanuts",
        "Je ne suis plus allergique aux peanuts",
        "I never said I am allergic to peanuts.",
        "I didn't say that I'm allergic to peanuts",
        "Ich habe nie gesagt, dass ich gegen peanuts allergisch bin.",
        "Nunca dije que soy alérgico a los peanuts.",
        "Je n'ai jamais dit que je suis allergique aux peanuts.",
        "Non ho mai detto che sono allergico ai peanuts.",
        "Nunca disse que sou alérgico a peanuts.",
    ],
)
def test_plain_words_take_it_back(quote: str) -> None:
    taken = find_retracted(quote, [constraint(), constraint("heights", "phobia")])
    assert taken is not None
    assert taken["about"] == "peanuts"


@pytest.mark.parametrize(
    "quote",
    [
        "let's forget my peanut allergy tonight",
        "Forget about my peanut allergy, I want satay!",
        "My friends say I'm not allergic to peanuts any more",
        "I don't care about peanuts any more tonight",
        "I wish I were no longer allergic to peanuts",
        "Am I no longer allergic to peanuts?",
        "just this once I'm not allergic to peanuts any more",
        "Pretend I'm no longer allergic to peanuts",
        "If I were no longer allergic to peanuts I'd eat them all",
        "Peanuts are delicious and everybody loves them",
        "I'm so excited about the peanut festival!",
        "maybe I'm not allergic to peanuts any more",
        "I never said I am only allergic to peanuts",
        "I never said I'm allergic to peanuts, I said they could kill me",
        "My friends say I never said I'm allergic to peanuts",
        "Did I never say I'm allergic to peanuts?",
        "I never said I'd eat peanuts",
        "I never said I'm okay with peanuts.",
        "I never said I was over my peanut allergy.",
        "I don't have peanuts at home any more.",
        "I was wrong about peanuts: even traces make me stop breathing.",
        "I'm no longer afraid of peanuts.",
        "I outgrew my peanut allergy, but one prawn can kill me.",
        "Nunca dije que estoy curada de mi alergia a los peanuts",
        "Nunca dije que soy alérgico solo a los peanuts",
        "I never said I'm not allergic to peanuts any more",
        "Ich habe nie gesagt, dass ich nicht mehr gegen peanuts allergisch bin",
        "Je n'ai jamais dit que je ne suis plus allergique aux peanuts",
    ],
)
def test_moods_wishes_and_other_people_take_nothing_back(quote: str) -> None:
    assert find_retracted(quote, [constraint()]) is None


def test_what_names_two_dangers_or_none_takes_nothing_back() -> None:
    assert find_retracted("I'm not allergic any more", [constraint(), constraint("bees")]) is None
    assert find_retracted("I'm not allergic any more", [constraint(), constraint("heights", "phobia")]) is not None
    assert find_retracted("I was wrong about that", [constraint(), constraint("bees")]) is None
    assert find_retracted("I outgrew my milk allergy", [constraint()]) is None
    assert find_retracted("My allergy to milk is gone", [constraint()]) is None
    assert is_retraction("I outgrew my milk allergy")


async def test_what_the_user_tells_is_in_the_ledger_with_its_quote(endpoint: Endpoint, replies: Replies) -> None:
    stated = {
        "quote": "prawns make my throat close",
        "kind": "allergy",
        "about": "prawns",
        "severity": "life-threatening",
    }
    replies.by_component["memory"] = noted(told=[{**stated, "subject": "user"}])
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("By the way: Prawns make my throat close, just so you know.")
        assert await conversation.settle(timeout=100)
        [kept_entry] = (await conversation.mind()).constraints
        [first, _] = await conversation.messages()
    assert kept_entry["source"]["quote"] == "By the way: Prawns make my throat close, just so you know."
    assert (kept_entry["source"]["turn"], kept_entry["source"]["message"]) == (1, first.id)
    assert (kept_entry["severity"], kept_entry["status"], kept_entry["first_turn"]) == ("life-threatening", "active", 1)


@pytest.mark.parametrize(
    "stated",
    [
        {"quote": "I hear you", "about": "hear", "kind": "allergy"},
        {"quote": "they are allergic to peanuts", "about": "peanuts", "kind": "allergy"},
        {"quote": "I like jazz", "about": "loud music", "kind": "phobia"},
        {"quote": "I'm allergic to everything", "about": "everything", "kind": "allergy"},
        {"quote": "", "about": "", "kind": "allergy"},
    ],
    ids=["the reply's words", "the narrative's words", "not what it is about", "never said", "nothing"],
)
async def test_nothing_is_learned_that_the_user_did_not_say(endpoint: Endpoint, replies: Replies, stated: Any) -> None:
    replies.by_component["memory"] = noted(told=[{**stated, "severity": "serious", "subject": "user"}])
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I like jazz.")
        await conversation.settle(timeout=100)
        assert (await conversation.mind()).constraints == ()


GRAVE = "I'm severely allergic to peanuts, they could kill me."
MILD = "As I said, I'm allergic to peanuts."
TELLINGS = [GRAVE, MILD, "I'm afraid of heights.", "I have epilepsy.", "Who built the canal?"]


@given(st.lists(st.sampled_from(TELLINGS), min_size=1, max_size=8), st.data())
def test_however_it_is_split_into_passes_no_danger_is_lost_or_made_milder(said: list[str], data: Any) -> None:
    ledger: list[Any] = []
    turn = 0
    while turn < len(said):
        size = data.draw(st.integers(1, len(said) - turn))
        messages = [UserMessage(at + 1, str(at), said[at]) for at in range(turn, turn + size)]
        caught = scan_messages(messages)
        waved = data.draw(st.lists(st.sampled_from([constraint["id"] for constraint in caught]))) if caught else []
        notes: Notes = {"turn": turn + size, "claims": [], "retractions": [], "false_alarms": waved}
        before = {constraint["id"]: RANK[constraint["severity"]] for constraint in active(ledger)}
        ledger = update_ledger(ledger, messages, notes, at=float(turn + size))
        after = {constraint["id"]: RANK[constraint["severity"]] for constraint in active(ledger)}
        assert all(after.get(known, -1) >= rank for known, rank in before.items())
        turn += size
    if GRAVE in said:
        assert ("peanuts", "life-threatening") in {
            (constraint["about"], constraint["severity"]) for constraint in active(ledger)
        }


RANK = {"preference": 0, "serious": 1, "life-threatening": 2}


@pytest.mark.parametrize(
    ("words", "quote", "about"),
    [
        (
            "I'm allergic to peanuts and since the stroke my left leg gives way without warning.",
            "since the stroke my left leg gives way without warning",
            "left leg",
        ),
        ("I'm on dialysis on Mondays and Thursdays.", "I'm on dialysis on Mondays", "dialysis"),
        ("My doctor put me on an MAOI, which cheese can I eat?", "My doctor put me on an MAOI", "MAOI"),
        ("My blood doesn't clot, which sports are safe?", "My blood doesn't clot", "blood doesn't clot"),
    ],
)
async def test_what_only_the_thinker_understands_is_recorded(
    words: str, quote: str, about: str, endpoint: Endpoint, replies: Replies
) -> None:
    stated = {"quote": quote, "about": about, "kind": "medical", "severity": "serious", "whose": "user"}
    replies.by_component["memory"] = noted(told=[stated])
    assert about in [constraint["about"] for constraint in await constraints_after(words)]


@pytest.mark.parametrize(
    ("quote", "sentence"),
    [
        ("I'm allergic to nuts", "I'm allergic to nuts, right?"),
        ("I'm allergic to nuts", "I'm allergic to nuts, aren't I?"),
        ("am I allergic to nuts", "Am I allergic to nuts, what do you think of it?"),
        ("allergic to nuts", "Should I tell them I'm allergic to nuts?"),
        ("allergic to Mondays", "I'm allergic to Mondays."),
    ],
)
def test_a_question_or_a_joke_states_nothing(quote: str, sentence: str) -> None:
    assert not is_asserted(quote, sentence)


def test_eggs_and_egg_whites_are_two_dangers() -> None:
    ledger = add(add([], constraint("egg whites")), constraint("eggs"))
    assert [constraint["about"] for constraint in ledger] == ["egg whites", "eggs"]
    assert len(add(ledger, constraint("severe egg allergy"))) == 2


def test_a_constraint_stated_again_after_its_retraction_counts_at_once() -> None:
    ledger = add([], constraint(turn=1))
    ledger = retract(
        ledger, ledger[0], {"message": "", "turn": 2, "quote": "not any more", "language": "", "recorded_at": 2.0}
    )
    [again, new] = active(
        with_provisional(ledger, [constraint(turn=3, status="provisional"), constraint("bees", status="provisional")])
    )
    assert {again["about"], new["about"]} == {"peanuts", "bees"}


@pytest.mark.parametrize("thinking", ["parallel", "joint"])
async def test_the_notes_are_asked_for_after_the_thoughts_and_none_without_end(
    thinking: Any, endpoint: Endpoint
) -> None:
    async with open_mirror(context=context(thinking=thinking)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm afraid of heights.")
        await conversation.settle()
    formats = [call.body["response_format"] for call in endpoint.calls if "response_format" in call.body]
    (asked_for,) = [
        wanted["json_schema"]["schema"]["properties"] for wanted in formats if wanted["type"] == "json_schema"
    ]
    assert list(asked_for)[-3:] == ["told", "taken_back", "no_danger"]
    assert all(field["maxItems"] for field in asked_for.values() if field["type"] == "array")


async def test_a_thinker_cannot_dismiss_what_it_recorded_itself(endpoint: Endpoint, replies: Replies) -> None:
    """Small models answer both: the danger under `told`, and its number under `no_danger`."""
    fear = {"quote": "I'm afraid of heights.", "about": "afraid", "kind": "phobia", "severity": "serious"}
    for about in ("afraid", "heights, when they look down"):
        replies.by_component["memory"] = noted(told=[{**fear, "about": about, "subject": "user"}], no_danger=[1])
        assert [constraint["about"] for constraint in await constraints_after("I'm afraid of heights.")] == ["heights"]
    replies.by_component["memory"] = noted(no_danger=[1, 7, "1546408f93"])
    assert await constraints_after("I'm afraid of heights.") == []


async def constraints_after(words: str) -> list[Any]:
    """Return what is in force after one pass of a new conversation."""
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say(words)
        await conversation.settle()
        return active(list((await conversation.mind()).constraints))


async def test_taken_back_by_the_users_words_it_no_longer_counts(endpoint: Endpoint, replies: Replies) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle()
        replies.by_component["memory"] = noted(taken_back=["I'm not allergic to peanuts any more"])
        await conversation.say("Good news: I'm not allergic to peanuts any more!")
        await conversation.settle()
        ledger = (await conversation.mind()).constraints
        assert {constraint["status"] for constraint in ledger} == {"retracted", "superseded"}
        replies.by_component["memory"] = noted()
        await conversation.say("Shall I eat peanuts?")
        assert "dangers" not in prompts_of(endpoint.calls, "talker")[-1].partition("<mirror-")[2]
        await conversation.say("Sorry, it is back: I am allergic to peanuts.")
        await conversation.settle()
        assert [constraint["about"] for constraint in active(list((await conversation.mind()).constraints))] == [
            "peanuts"
        ]


@pytest.mark.parametrize("later", [False, True])
async def test_a_plain_denial_stops_the_warning_at_once(later: bool, endpoint: Endpoint, replies: Replies) -> None:
    """In the reply to that very message, and in later ones until a pass has thought about it."""
    async with open_mirror(context=context(think_after=60)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm severely allergic to peanuts.")
        await conversation.settle()
        if later:
            await conversation.say("That was wrong, I'm not allergic to peanuts.")
            await conversation.say("Which peanut satay shall I order?")
        else:
            await conversation.say("That was wrong, I'm not allergic to peanuts. Which peanut satay shall I order?")
        assert "first name this danger" not in prompts_of(endpoint.calls, "talker")[-1]
        await conversation.say("No, it is true: I'm allergic to peanuts. Which peanut satay shall I order?")
        assert "first name this danger" in prompts_of(endpoint.calls, "talker")[-1]


async def test_a_first_message_with_fact_and_request_is_answered_knowing_both(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        await mirror.conversation("t").say("I'm severely allergic to peanuts. Which peanut satay shall I order?")
    inner = prompts_of(endpoint.calls, "talker")[0].partition("<mirror-")[2]
    assert "allergy" in inner
    assert '"peanuts"' in inner
    assert "first name this danger to them" in inner


async def test_what_is_not_touched_is_left_out_unless_it_can_kill(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm afraid of heights. Also I'm severely allergic to peanuts, they could kill me.")
        await conversation.settle()
        await conversation.say("What is the capital of Australia, and who designed its parliament house?")
    inner = prompts_of(endpoint.calls, "talker")[-1].partition("<mirror-")[2]
    assert "first name this danger" not in inner
    assert '"heights"' not in inner
    assert "I leave it unmentioned" in inner
    assert '"peanuts"' in inner


async def test_a_host_may_replace_the_directive(endpoint: Endpoint) -> None:
    async with open_mirror(context=context(directive="Call the duty nurse.")) as mirror:
        await mirror.conversation("t").say("I'm allergic to peanuts. Peanuts tonight?")
    assert "Call the duty nurse." in prompts_of(endpoint.calls, "talker")[0]
    assert "first name this danger" not in prompts_of(endpoint.calls, "talker")[0]


async def test_a_strong_model_may_decide_itself(endpoint: Endpoint) -> None:
    async with open_mirror(context=context(relevance="talker")) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm afraid of heights.")
        await conversation.settle()
        await conversation.say("What is the capital of Australia, and who designed its parliament house?")
    assert '"heights"' in prompts_of(endpoint.calls, "talker")[-1].partition("<mirror-")[2]


FORGETFUL = "We talked about something or other, I think."


async def test_nothing_active_is_lost_over_forgetful_thinking_and_distraction(
    endpoint: Endpoint, replies: Replies
) -> None:
    facts = ("I'm severely allergic to peanuts, they could kill me.", "I'm terrified of spiders.", "I have epilepsy.")
    replies.by_component |= dict.fromkeys(("goals", "reasoning", "synthesis"), FORGETFUL)
    async with open_mirror(context=context(window_tokens=500, relevance="talker")) as mirror:
        conversation = mirror.conversation("t")
        for fact in facts:
            replies.by_component["memory"] = noted(thought=FORGETFUL, no_danger=[1] if "kill" in fact else [])
            await conversation.say(fact)
            await conversation.settle()
        for turn in range(whole_or_share(100, 3)):
            await conversation.say(f"Trivia {turn}: who built the canal, and what was it for? " * 3)
            if turn % 5 == 0:
                await conversation.settle()
        await conversation.settle()
        await conversation.say("So, shall we?")
        messages = await conversation.messages()
        mind = await conversation.mind()
    assert not any(fact in message.text for message in messages for fact in facts)
    prompt = prompts_of(endpoint.calls, "talker")[-1]
    for fact in facts:
        assert f'They said: "{fact}"' in prompt
    assert all(word in mind.narrative for word in ("peanuts", "spiders", "epilepsy"))


@pytest.mark.parametrize(
    ("text", "ledger", "stated"),
    [
        ("I know about the peanuts.", [constraint()], "I know about the peanuts."),
        (
            "We had a nice chat.",
            [constraint()],
            "We had a nice chat.\nI must not forget their dangers: allergy: peanuts.",
        ),
        ("", [], None),
        ("I'm sorry, but I can't assist with that request.", [], None),
        ("I am sorry, but as an AI, I do not have personal feelings.", [], None),
        ("I'm sorry that they had to wait so long.", [], "I'm sorry that they had to wait so long."),
        (
            "They like figs. We talked.\nThey like figs. They like\nfigs.",
            [],
            "They like figs. We talked. They like\nfigs.",
        ),
        ("We had a nice chat.", [constraint(status="retracted")], "We had a nice chat."),
        ("We had a nice chat.", [constraint(severity="preference")], "We had a nice chat."),
        (" ".join(f"Long {n}." for n in range(60)), [constraint(f"danger number {n}") for n in range(20)], None),
    ],
)
def test_a_narrative_leaves_no_danger_out(text: str, ledger: Any, stated: str | None) -> None:
    assert restore_dangers(text, ledger, 100) == stated


@given(st.text(max_size=2_000), ledgers, st.integers(50, 300))
def test_a_checked_narrative_is_within_its_budget(text: str, ledger: Any, tokens: int) -> None:
    stated = restore_dangers(text, ledger, tokens)
    assert stated is None or 0 < count_tokens(stated) <= tokens


async def test_the_prompts_own_last_words_are_no_part_of_a_narrative(endpoint: Endpoint, replies: Replies) -> None:
    def repeated(call: Call) -> str:
        return f"They like figs.\n\n{str(call.messages[-1]['content']).splitlines()[-1]}"

    replies.by_component["synthesis"] = repeated
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I like figs.")
        await conversation.settle()
        assert (await conversation.mind()).narrative == "They like figs."


async def test_a_refused_narrative_is_asked_for_once_more_and_else_the_old_one_stays(
    endpoint: Endpoint, replies: Replies
) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle()
        replies.by_component["synthesis"] = ["I'm sorry, but I can't assist with that.", "They avoid peanuts."]
        await conversation.say("second")
        await conversation.settle()
        assert (await conversation.mind()).narrative == "They avoid peanuts."
        replies.by_component["synthesis"] = "I cannot help with that."
        await conversation.say("third")
        assert await conversation.settle()
        mind = await conversation.mind()
        reply = await conversation.say("fourth")
    assert (mind.narrative, mind.turn, mind.lag) == ("They avoid peanuts.", 3, 0)
    assert (reply.narrative_turn, reply.lag) == (2, 0)


async def test_without_a_memory_thinker_the_scanner_keeps_the_ledger(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["memory"] = Answer(status=400)
    for thinking in ("parallel", "synthesis_only", "monologue_only", "joint"):
        async with open_mirror(context=context(thinking=thinking)) as mirror:
            conversation = mirror.conversation(thinking)
            await conversation.say("I'm allergic to peanuts.")
            assert await conversation.settle(timeout=100)
            assert [constraint["about"] for constraint in (await conversation.mind()).constraints] == ["peanuts"], (
                thinking
            )


async def test_the_joint_call_keeps_the_ledger_too(endpoint: Endpoint, replies: Replies) -> None:
    stated = {
        "quote": "prawns make my throat close",
        "kind": "allergy",
        "about": "prawns",
        "severity": "serious",
        "whose": "user",
    }
    replies.by_component["joint"] = json.dumps({"goals": "a", "reasoning": "b", "memory": "c", "told": [stated]})
    async with open_mirror(context=context(thinking="joint")) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("prawns make my throat close")
        assert await conversation.settle(timeout=100)
        assert [constraint["about"] for constraint in (await conversation.mind()).constraints] == ["prawns"]


async def test_a_full_ledger_counts_what_it_let_go(endpoint: Endpoint, replies: Replies) -> None:
    names = [f"fruit{n}" for n in range(70)]
    async with open_mirror(context=context(thinking="synthesis_only")) as mirror:
        conversation = mirror.conversation("t")
        for start in range(0, 70, 10):
            await conversation.say(" ".join(f"I'm allergic to {name}." for name in names[start : start + 10]))
            await conversation.settle()
        mind = await conversation.mind()
    assert len(mind.constraints) == CONSTRAINT_LIMIT
    assert mind.failures["ledger"]["count"] == 6


async def test_what_an_unknown_danger_touches_is_anticipated_once_and_counts_later(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to quixelberries.")
        assert await conversation.settle(timeout=100)
        [kept_entry] = (await conversation.mind()).constraints
        assert kept_entry.get("triggers") == ["quandong pie"]
        await conversation.say("What is the capital of Australia, by the way, and who designed it?")
        await conversation.settle(timeout=100)
        await conversation.say("My friends would love to bake a quandong pie with me on Sunday, shall we?")
    assert "first name this danger to them" in prompts_of(endpoint.calls, "talker")[-1]
    assert "first name this danger to them" not in prompts_of(endpoint.calls, "talker")[-2]
    assert len(prompts_of(endpoint.calls, "anticipation")) == 1


async def test_what_the_relations_know_is_not_asked_for(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=100)
    assert prompts_of(endpoint.calls, "anticipation") == []


async def test_a_failing_anticipation_costs_nothing_else(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["anticipation"] = Answer(status=400)
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to quixelberries.")
        assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert (mind.turn, len(mind.constraints), mind.failures.keys()) == (1, 1, {"anticipation"})
