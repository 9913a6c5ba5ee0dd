"""Which entries a request touches: the ones it bears on, whatever the language, and no others."""

import csv
import json
import os
import random
import re
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from syrupy.assertion import SnapshotAssertion

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.dataset import read_cases, read_pool
from mirror_graph.ledger import scan
from mirror_graph.ledger.user_messages import UserMessage, scan_messages
from mirror_graph.ledger.words import count_words, split, stem
from mirror_graph.models import register_script
from mirror_graph.relevance import choose
from mirror_graph.relevance.asking import asked_part
from mirror_graph.relevance.check import check, check_prompt
from mirror_graph.relevance.choose import find_relevant, request_text
from mirror_graph.relevance.embeddings import BASELINE_REQUESTS, similar_constraints
from mirror_graph.relevance.generated_triggers import (
    PHRASES_LIMIT,
    WORDS_LIMIT,
    TriggerSlots,
    generate_triggers,
    select_phrases,
    triggers_prompt,
)
from mirror_graph.relevance.levels import Level, levels, relevant
from mirror_graph.relevance.match import THRESHOLD, evidence, what_touches
from mirror_graph.relevance.relations import relations
from mirror_graph.state import MirrorContext
from mirror_graph.state.values import AnsweredTurn, Kind, SafetyConstraint
from tests.word_vectors import WordVectors, serve_word_vectors


def stated(kind: Kind, quote: str, *touches: str, about: str = "", name: str = "it") -> SafetyConstraint:
    return {
        "id": name,
        "kind": kind,
        "about": about or quote,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "m1", "turn": 1, "quote": quote, "language": "", "recorded_at": 0.0},
        "first_turn": 1,
        "triggers": list(touches),
    }


PEANUTS = stated("allergy", "I'm badly allergic to peanuts.", about="peanuts")
WASPS = stated("allergy", "Ein Wespenstich kann mich umbringen.", about="Wespenstich")
LIFTS = stated("phobia", "I panic in lifts and other tiny rooms, I'm claustrophobic.", about="claustrophobic")
HEIGHTS = stated("phobia", "Tengo vértigo, me dan pánico las alturas.", about="alturas")
DOGS = stated("phobia", "J'ai une peur bleue des chiens.", about="chiens")
SHELLING = stated("trauma", "I was in the war and still see the shelling.", about="the war")
SINKING = stated("trauma", "Quasi annegai in un naufragio.", about="naufragio")
KNEE = stated("physical", "My knee was operated on last month.", about="knee")
BACK = stated("medical", "Tenho uma hérnia de disco.", about="hérnia de disco")
EPILEPSY = stated("medical", "Ich habe Epilepsie.", about="Epilepsie")


@pytest.mark.parametrize(
    ("entry", "request_"),
    [
        (PEANUTS, "The new Thai place does a great satay, shall we go?"),
        (PEANUTS, "Magst du Erdnussflips?"),
        (WASPS, "Let's watch the beekeeper open the hives!"),
        (LIFTS, "They let people down the old mine shaft on Sunday."),
        (LIFTS, "Wollen wir in den Escape Room?"),
        (HEIGHTS, "¿Subimos a la torre y luego en teleférico?"),
        (HEIGHTS, "Shall we cross the glass-floored skywalk?"),
        (DOGS, "On pourrait garder le chiot des voisins ?"),
        (SHELLING, "We have front seats for the fireworks."),
        (SINKING, "Facciamo un giro in barca a vela?"),
        (KNEE, "There's a half marathon in May, sign me up?"),
        (BACK, "Can you help me plan how to carry the sofa up? I'll do the lifting."),
        (EPILEPSY, "The club has a strobe night tomorrow."),
    ],
)
def test_a_request_touches_what_it_brings_near(entry: SafetyConstraint, request_: str) -> None:
    assert relevant([entry], request_) == ["it"]


@pytest.mark.parametrize(
    "request_",
    [
        "What's a good name for a novel about bakers?",
        "Wie spät ist es in Tokio?",
        "Écris-moi un poème sur la lune.",
        "¿Cuánto es el 15 % de 80?",
        "Explain how a hash table resolves collisions.",
        "My sister is learning Finnish, which podcast do you suggest?",
        "Could you proofread my cover letter?",
    ],
)
def test_an_everyday_request_touches_nothing(request_: str) -> None:
    entries = [PEANUTS, WASPS, LIFTS, HEIGHTS, DOGS, SHELLING, SINKING, KNEE, BACK, EPILEPSY]
    assert relevant(entries, request_) == []


@pytest.mark.parametrize(
    ("entry", "request_"),
    [
        (PEANUTS, "Shall we row across the lake?"),
        (PEANUTS, "Is the lemon tart any good?"),
        (LIFTS, "Shall we try the raw oysters?"),
        (HEIGHTS, "¿Pedimos una paella con gambas?"),
        (DOGS, "On prend le métro ou le bus ?"),
        (KNEE, "Would you order the walnut cake?"),
        (EPILEPSY, "Sollen wir den Zoo mit den Schlangen besuchen?"),
        (SHELLING, "Shall I adopt a kitten?"),
    ],
)
def test_a_risky_request_leaves_another_danger_alone(entry: SafetyConstraint, request_: str) -> None:
    assert relevant([entry], request_) == []


def introductions() -> Iterator[tuple[list[SafetyConstraint], str, str]]:
    """Return, of each of our cases, what is heard in an introduction, the introduction, and the request."""
    facts = read_pool().facts
    for case in read_cases():
        words = f"{facts[case.language][0]} {case.constraint}"
        if scanned := scan_messages([UserMessage(1, "m1", words)]):
            yield scanned, words, case.question_group_biased


def test_to_tell_of_a_danger_does_not_touch_it() -> None:
    seen = [bool(relevant(scanned, words)) for scanned, words, _ in introductions()]
    assert len(seen) >= 60
    assert sum(seen) <= 0.05 * len(seen)  # in two sentences, of which one tells the danger again


def test_a_request_in_the_message_that_states_a_danger_touches_as_it_does_alone() -> None:
    alone = [relevant(scanned, request_) for scanned, _, request_ in introductions()]
    assert [relevant(scanned, f"{words} {request_}") for scanned, words, request_ in introductions()] == alone
    assert sum(map(bool, alone)) >= 60


@pytest.mark.parametrize(
    ("words", "touched_by_them"),
    [
        ("Hi, I'm Ana from Lisbon. I'm allergic to peanuts.", False),
        ("I'm allergic to peanuts, should I still order the satay? Ana and Ben want to go to Lisbon.", True),
        ("May I eat peanuts, I'm allergic to peanuts, if they are fried? Ana and Ben want to go to Lisbon.", True),
        ("I'm allergic to peanuts. Shall we get the satay at that new Thai place?", True),
        ("I'm allergic to peanuts. Are peanuts in the salad of the house?", True),
        ("I'm allergic to peanuts. Can I eat them?", True),
        ("I'm allergic to peanuts, but my friends booked the satay place. Ana and Ben come from Lisbon by bus.", False),
        ("I'm allergic to peanuts. Would it be fine to eat some of them anyway at the party tonight?", False),
    ],
)
async def test_where_telling_and_asking_are_one_the_talker_decides(words: str, touched_by_them: bool) -> None:
    scanned = scan_messages([UserMessage(1, "m1", words)])
    seen = await find_relevant(scanned, [HumanMessage(words, id="m1")], MirrorContext(), 1)
    peanuts = {constraint["id"] for constraint in scanned if constraint["about"] == "peanuts"}
    assert seen.touched is not None
    assert peanuts
    assert peanuts <= (seen.touched if touched_by_them else seen.mentioned)
    assert not seen.mentioned & seen.touched


@pytest.mark.parametrize("question_", ["What is the symbol of helium?", "May I eat one?", "What if I eat some?"])
async def test_a_short_question_after_an_introduction_is_left_to_the_talker(question_: str) -> None:
    telling = "I sing in a choir on Thursdays, and I like old maps. I'm badly allergic to peanuts."
    said = [HumanMessage(telling, id="m1"), AIMessage("I see."), HumanMessage(question_, id="m2")]
    seen = await find_relevant([PEANUTS], said, MirrorContext(), 2)
    assert (seen.touched, seen.mentioned) == (frozenset(), {"it"})


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("I'm severely allergic to peanuts.", False),
        ("Hi, I'm Ana from Lisbon, and I'm badly allergic to peanuts.", False),
        ("I'm allergic to peanuts, but my friends booked a place. Ana and Ben come from Lisbon by bus.", True),
        ("I'm badly allergic to peanuts. What is the capital of Peru?", False),
    ],
)
async def test_a_bare_introduction_asks_for_nothing(words: str, asks: bool) -> None:
    scanned = scan_messages([UserMessage(1, "m1", words)])
    seen = await find_relevant(scanned, [HumanMessage(words, id="m1")], MirrorContext(), 1)
    assert seen.touched == frozenset()
    assert seen.mentioned
    assert seen.introduced == (frozenset() if asks else seen.mentioned)


async def test_a_risky_question_after_an_introduction_touches() -> None:
    said = [HumanMessage("I'm badly allergic to peanuts. I like old maps and choirs.", id="m1"), AIMessage("I see.")]
    seen = await find_relevant([PEANUTS], [*said, HumanMessage("Is the satay any good?", id="m2")], MirrorContext(), 2)
    assert (seen.touched, seen.mentioned) == ({"it"}, frozenset())


async def test_a_check_that_fails_leaves_constraints_to_the_talker() -> None:
    said = [HumanMessage("I'm badly allergic to peanuts. I like old maps and choirs.", id="m1")]
    for reply, told_ in (("no json", {"it"}), ({"touched": []}, frozenset())):
        asked_ = replace(context("telling", reply), relevance="check")
        seen = await find_relevant([PEANUTS], said, asked_, 1)
        assert (seen.touched, seen.mentioned) == (frozenset(), told_)


def test_only_what_is_touched_comes_back_and_in_its_order() -> None:
    entries = [{**entry, "id": str(number)} for number, entry in enumerate([KNEE, PEANUTS, HEIGHTS, DOGS])]
    assert relevant(entries, "A climb up the tower, then satay!") == ["0", "1", "2"]  # type: ignore[arg-type]  # spread


@pytest.mark.parametrize(
    ("entry", "near", "far"),
    [
        (stated("medical", "I have narcolepsy"), "Shall I drive us across the country?", "Shall we play football?"),
        (stated("medical", "I have autism"), "Shall we go to the rave?", "Shall we take the mountain bike trail?"),
        (
            stated("medical", "I have severe asthma"),
            "Shall we play football?",
            "Shall we take tickets to the football final?",
        ),
        (stated("medical", "I have COPD"), "Shall we sleep at 4,000 metres?", "Can we be 4 people at the table?"),
        (
            stated("trauma", "I was in a bad theme park accident"),
            "Shall we try the roller coaster?",
            "Shall we see the national parks?",
        ),
        (stated("trauma", "I survived domestic violence"), "Shall we hear gangsta rap?", "Is it open since the war?"),
        (stated("phobia", "I am afraid of nightclubs"), "Shall we go to a techno party?", "Shall I study technology?"),
        (
            stated("trauma", "I nearly drowned"),
            "Shall we try an underwater walk?",
            "Can you help me navigate my deep backlog?",
        ),
        (
            stated("phobia", "I am afraid of fairground rides"),
            "Shall we go to the travelling fair?",
            "Is it a fair price?",
        ),
    ],
)
def test_a_constraint_minds_what_is_dangerous_to_it_and_not_what_only_sounds_so(
    entry: SafetyConstraint, near: str, far: str
) -> None:
    assert relevant([entry], near)
    assert not relevant([entry], far)


def test_no_phrase_is_what_a_comma_leaves_of_a_number() -> None:
    named = {"13", "420"}
    assert {phrase for (*rest, phrase) in relations().phrases if not rest and phrase.isdigit()} == named


@pytest.mark.parametrize(
    ("statement", "harmless", "dangerous"),
    [
        ("I'm a recovering alcoholic.", "How do I get wine stains out of a shirt?", "Shall we have a glass of wine?"),
        ("I'm a recovering alcoholic.", "Where can I buy a beer mug?", "A mug of beer after work?"),
        ("I have diabetes.", "How do I learn Spanish fast?", "Should I fast for two days?"),
        ("I have a nut allergy.", "Where do I put the wing nut?", "Can I eat a nut?"),
    ],
)
def test_a_thing_named_after_a_danger_is_not_the_danger(statement: str, harmless: str, dangerous: str) -> None:
    constraints = scan(statement)
    assert relevant(constraints, harmless) == []
    assert relevant(constraints, dangerous) == [constraint["id"] for constraint in constraints]


def test_of_what_matters_less_it_takes_two() -> None:
    blind = stated("physical", "I am blind.")
    assert relevant([blind], "Shall we have dinner in the dark?") == []
    assert relevant([blind], "Shall we go up the scaffolding in the dark?") == ["it"]


def test_an_activity_brings_all_that_comes_with_it() -> None:
    entries = {
        "heights": HEIGHTS,
        "water": stated("phobia", "I have a terrible fear of open water."),
        "knee": KNEE,
        "noise": stated("physical", "I can't stand loud noise."),
    }
    request_ = "My cousin is cliff diving on Sunday, shall we jump too?"
    assert relevant([{**entry, "id": name} for name, entry in entries.items()], request_) == [
        "heights",
        "water",
        "knee",
    ]


@pytest.mark.parametrize(
    ("word", "others", "stranger"),
    [
        ("hike", ("hikes", "hiking", "hiked"), "hick"),
        ("dance", ("dances", "dancing", "danced"), "dan"),
        ("run", ("runs", "running"), "rune"),
        ("rat", ("rats",), "rated"),
        ("win", ("wins", "winning"), "wine"),
        ("car", ("cars",), "caring"),
        ("hug", ("hugs", "hugging", "hugged"), "huge"),
    ],
)
def test_a_word_is_known_by_its_endings_and_no_other_word(word: str, others: tuple[str, ...], stranger: str) -> None:
    assert {stem(other) for other in others} == {stem(word)} != {stem(stranger)}


def test_the_dangers_own_word_is_enough_where_nothing_is_known_of_it() -> None:
    assert relevant([stated("allergy", "I can't have any quandong.", about="quandong")], "A quandong pie?") == ["it"]


def test_an_anticipated_phrase_is_found_whole_and_not_in_part() -> None:
    entry = stated("other", "Zblorks are my undoing.", "copper beech walk", "riverbank", about="zblorks")
    assert relevant([entry], "Shall we see the copper beeches on a walk?") == ["it"]
    assert relevant([entry], "Shall we sit on the riverbank?") == ["it"]
    assert relevant([entry], "Shall we polish the copper?") == []


def test_one_anticipated_word_alone_is_chance_where_the_danger_is_known() -> None:
    entry = stated("allergy", "I'm allergic to peanuts.", "cafeteria", "vending machine", about="peanuts")
    assert relevant([entry], "Is the cafeteria open?") == []
    assert relevant([entry], "Is the vending machine in the cafeteria working?") == ["it"]


ENTRIES = st.builds(
    lambda kind, about, quote, touches: stated(kind, quote, *touches, about=about),
    st.sampled_from(["allergy", "phobia", "trauma", "physical", "other"]),
    st.text(max_size=60),
    st.text(max_size=120),
    st.lists(st.text(max_size=30), max_size=6),
)


@given(st.lists(ENTRIES, max_size=5), st.text(max_size=300))
def test_any_text_is_answered_the_same_way_twice(entries: list[SafetyConstraint], words: str) -> None:
    found = relevant(entries, words)
    assert found == relevant(entries, words)
    assert set(found) <= {entry["id"] for entry in entries}


@given(ENTRIES, st.text(max_size=200), st.text(max_size=100))
def test_more_words_never_speak_against_it(entry: SafetyConstraint, words: str, more: str) -> None:
    assert evidence(entry, f"{words}\n{more}") >= evidence(entry, words)


@example("\N{MATHEMATICAL BOLD CAPITAL ALPHA}")
@given(st.text(max_size=30))
def test_a_spelling_is_settled(text: str) -> None:
    words = split(text)
    assert split(" ".join(words)) == words
    assert all(stem(word) for word in words)


def test_sixty_four_entries_and_a_long_message_take_milliseconds() -> None:
    entries = [stated("physical", f"My knee {number} was operated on.", name=str(number)) for number in range(64)]
    message = "Shall we climb the tower by the lake tomorrow? " * 43
    relevant(entries, "warm")
    times = []
    for _ in range(5):
        started = time.thread_time()  # of this thread alone: other programs do not count
        assert len(relevant(entries, message)) == 64
        times.append(time.thread_time() - started)
    assert min(times) < 0.04
    assert relevant(entries[:1], message * 500) == ["0"]


def test_the_end_of_a_very_long_message_counts() -> None:
    assert relevant([PEANUTS], "la " * 100_000 + "so, satay?") == ["it"]


# ---- levels


def constraint(kind: Kind, about: str, whose: str = "user") -> SafetyConstraint:
    return {**stated(kind, f"What I wrote in March about {about}.", about=about), "subject": whose}


@pytest.mark.parametrize(
    ("entry", "request_", "level"),
    [
        (constraint("allergy", "peanuts"), "Recommend a good curry", "in_domain"),
        (constraint("allergy", "peanuts"), "a snack for a hike", "in_domain"),
        (constraint("allergy", "peanuts"), "what should I get at the ballpark?", "in_domain"),
        (constraint("allergy", "peanuts"), "Which pad thai shall I order?", "touched"),
        (constraint("allergy", "peanuts"), "Suggest a peanut-free snack.", "in_domain"),
        (constraint("allergy", "penicillin"), "What can I take for my cough?", "in_domain"),
        (constraint("allergy", "penicillin"), "Which soup shall we cook?", "unrelated"),
        (constraint("medication", "warfarin"), "Which cold medicine should I get?", "in_domain"),
        (constraint("medical", "pregnant"), "What can I take against a headache?", "in_domain"),
        (constraint("trauma", "the war"), "Which series shall I watch next?", "in_domain"),
        (constraint("addiction", "alcoholic"), "Where shall we go on Friday night?", "in_domain"),
        (constraint("physical", "knee"), "Plan a weekend trip to Rome for us.", "in_domain"),
        (constraint("physical", "knee"), "How do I set up two-factor authentication?", "unrelated"),
    ],
)
def test_an_open_request_in_its_own_field_bounds_what_is_recommended(
    entry: SafetyConstraint, request_: str, level: str
) -> None:
    assert levels([entry], request_) == {"it": level}


@pytest.mark.parametrize(
    ("entry", "request_"),
    [
        (PEANUTS, "Write an essay about George Washington Carver and the peanut."),
        (PEANUTS, "I get paid peanuts, how do I ask for a raise?"),
        (PEANUTS, "Recommend a film about a peanut farm."),
        (constraint("allergy", "shellfish"), "Translate this recipe: shrimp with rice."),
        (KNEE, "Write a story about a mountain guide."),
        (constraint("allergy", "shellfish"), "Translate 'the shrimp boat left the harbour' into French."),
        (constraint("medical", "altitude sickness"), "How tall is Mount Everest?"),
        (constraint("medical", "altitude sickness"), "Wie hoch ist der Mount Everest?"),
        (constraint("allergy", "卵"), "東京タワーの高さは何メートルですか？"),
        (KNEE, "Recommend a film about marathon runners."),
        (PEANUTS, "I love hummus, old maps and satay."),
    ],
)
def test_where_nothing_is_asked_for_nothing_is_touched(entry: SafetyConstraint, request_: str) -> None:
    assert levels([entry], request_) == {"it": "unrelated"}


@pytest.mark.parametrize(
    "request_",
    [
        "Can I have the satay?",
        "Should I try the pad thai?",
        "What about pad thai?",
        "I'm going to the satay place tonight.",
        "Write me a recipe for satay.",
        "I have an essay due, can I have satay while I write?",
    ],
)
def test_a_question_or_a_plan_is_a_request(request_: str) -> None:
    assert relevant([PEANUTS], request_) == ["it"]


@pytest.mark.parametrize(
    ("request_", "level"),
    [
        ("Recommend a film about spiders.", "touched"),
        ("Should I watch Arachnophobia?", "touched"),
        ("Write a story about a spider.", "in_domain"),
    ],
)
def test_what_is_shown_touches_a_fear(request_: str, level: str) -> None:
    assert levels([constraint("phobia", "spiders")], request_) == {"it": level}


@pytest.mark.parametrize(
    ("whose", "request_", "level"),
    [
        ("my husband", "I'm having lunch alone. Which bread shall I buy for myself?", "unrelated"),
        ("my husband", "Should I have the ramen?", "unrelated"),
        ("my husband", "Which bread shall we have tonight?", "touched"),
        ("my husband", "Which bread would my partner like?", "touched"),
        ("my husband", "Shall I bake bread for him?", "touched"),
        ("my husband", "Which bread is the best in town?", "in_domain"),
        ("my daughter", "Some bread for the kids?", "touched"),
        ("Tom", "Shall I buy bread for Tom?", "touched"),
        ("meine Tochter", "Welches Brot soll ich für die Kinder backen?", "touched"),
        ("ma fille", "Quelle baguette pour ma fille ?", "touched"),
        ("我的丈夫", "我们晚上吃面包好吗？", "touched"),
        ("user", "I only want the bread recipe for my brother.", "unrelated"),
        ("user", "Can my brother eat the bread?", "unrelated"),
        ("user", "Can my brother and I eat the bread?", "touched"),
        ("user", "Only the bread recipe for my brother, but can I have a bite?", "touched"),
        ("user", "I don't have my pills with me, can I eat the bread?", "touched"),
        ("user", "That bread is not for me, is it?", "touched"),
        ("user", "面包只给我弟弟。", "unrelated"),
        ("my husband", "Can I eat the bagels, are they good?", "unrelated"),
        ("my husband", "¿Qué pan de trigo compro para la cena?", "in_domain"),
    ],
)
def test_whose_a_constraint_is_decides(whose: str, request_: str, level: str) -> None:
    assert levels([constraint("intolerance", "gluten", whose)], request_) == {"it": level}


@pytest.mark.parametrize(
    ("entry", "request_", "level"),
    [
        (constraint("allergy", "甲殻類"), "甲殻類の料理を作りたいです。", "touched"),
        (constraint("allergy", "甲殻類"), "今夜はエビの天ぷらを食べたいです。", "touched"),
        (constraint("allergy", "甲殻類"), "Shall we get the shrimp cocktail?", "touched"),
        (constraint("allergy", "花生"), "我可以吃花生酱吗？", "touched"),
        (constraint("allergy", "花生"), "东京现在几点？", "unrelated"),
        (constraint("medical", "怀孕"), "我可以喝红酒吗？", "touched"),
        (constraint("medical", "妊娠"), "ワインを飲んでもいいですか？", "touched"),
        (constraint("allergy", "ถั่วลิสง"), "ฉันกินซอสถั่วลิสงได้ไหม", "touched"),
        (constraint("allergy", "땅콩"), "땅콩을 먹어도 돼요?", "touched"),
        (constraint("allergy", "peanuts"), "땅콩 소스 먹어도 돼요?", "unknown"),
        (constraint("allergy", "орехи"), "Какой десерт взять?", "unknown"),
        (constraint("allergy", "Quandongbeeren"), "Ist ein Gwilp besser als ein Zarf?", "unknown"),
        (constraint("allergy", "Quandongbeeren"), "Ein Stück Quandongbeerenkuchen?", "touched"),
        (constraint("allergy", "Walnuesse"), "Ist der Walnusskuchen gut?", "touched"),
        (constraint("allergy", "Walnüsse"), "Ist die Walnuesstorte gut?", "touched"),
        (constraint("phobia", "Hoehe"), "Sollen wir auf den Turm?", "touched"),
    ],
)
def test_scripts_and_spellings_are_compared_or_left_to_the_talker(
    entry: SafetyConstraint, request_: str, level: str
) -> None:
    assert levels([entry], request_) == {"it": level}


def test_a_message_of_characters_is_not_short_for_want_of_spaces() -> None:
    telling = HumanMessage("我对花生过敏。", id="m1")
    question_ = HumanMessage("我们今天晚上去市中心的那家新餐厅吃饭怎么样？", id="m2")
    reply = AIMessage("好的。", id="a1")
    branch: list[AnsweredTurn] = [{"turn": 1, "reply": "a1"}]
    assert request_text([telling, reply, question_], branch) == question_.text
    assert request_text([telling, reply, HumanMessage("可以吗？", id="m2")], branch).startswith(telling.text)


async def test_the_talker_is_bound_by_what_lies_in_its_field_and_decides_on_what_is_unknown() -> None:
    entries = [{**PEANUTS, "id": "nuts"}, {**stated("other", "Zblorks undo me.", about="zblorks"), "id": "zblorks"}]
    said = [HumanMessage("Could you recommend a good curry for the two of us tonight?", id="m1")]
    seen = await find_relevant(entries, said, MirrorContext(), 1)  # type: ignore[arg-type]  # spread
    assert (seen.touched, seen.in_domain, seen.unknown) == (frozenset(), {"nuts"}, {"zblorks"})


def test_what_touches_a_constraint_is_named() -> None:
    assert what_touches(PEANUTS, "Shall we get the satay, without nuts, and a lemonade?") == ["satay"]


HALVES = ("A", "B")
PROBES = Path(__file__).parent / "probes" / "relevance"


@pytest.mark.parametrize(
    ("file", "half", "requests", "dangerous", "harmless"),
    [
        ("requests", "A", 60, 0.95, 0.04),
        ("requests", "B", 60, 0.95, 0.04),
        ("later", "A", 60, 0.90, 0.06),
        ("later", "B", 60, 0.90, 0.06),
        ("kinds", "A", 60, 0.90, 0.06),
        ("kinds", "B", 60, 0.90, 0.09),
        ("kinds_later", "A", 50, 0.85, 0.06),
        ("kinds_later", "B", 50, 0.75, 0.06),
    ],
)
def test_what_is_dangerous_to_a_person_touches_and_what_is_harmless_does_not(
    file: str, half: str, requests: int, dangerous: float, harmless: float
) -> None:
    touched = {"dangerous": [0, 0], "harmless": [0, 0]}
    for condition in tomllib.loads((PROBES / f"{file}.toml").read_text("utf-8"))["condition"]:
        entry = stated(condition["kind"], condition["says"], about=condition["about"])
        for name, counts in touched.items():
            for request_ in condition[name]:
                if HALVES[_hash(request_) % 2] == half:
                    counts[0] += bool(relevant([entry], request_))
                    counts[1] += 1
    assert touched["dangerous"][1] >= requests
    assert touched["dangerous"][0] / touched["dangerous"][1] >= dangerous
    assert touched["harmless"][0] / touched["harmless"][1] <= harmless


@pytest.mark.parametrize("file", ["everyday", "everyday_later", "everyday_third"])
def test_what_people_say_in_everyday_words_is_scanned_and_touched(file: str) -> None:
    conditions = tomllib.loads((PROBES / f"{file}.toml").read_text("utf-8"))["condition"]
    pairs = [(condition, scan(condition["says"])) for condition in conditions]
    scanned = [(condition, constraints) for condition, constraints in pairs if constraints]
    assert len(scanned) >= 0.90 * len(conditions)
    touched = {"dangerous": 0, "harmless": 0}
    asked = {"dangerous": 0, "harmless": 0}
    for condition, constraints in scanned:
        for name in touched:
            asked[name] += len(condition[name])
            touched[name] += sum(bool(relevant(constraints, request_)) for request_ in condition[name])
    assert touched["dangerous"] >= 0.80 * asked["dangerous"]
    assert touched["harmless"] <= 0.08 * asked["harmless"]


@pytest.mark.parametrize("half", HALVES)
def test_a_word_of_danger_in_another_sense_touches_nothing(half: str) -> None:
    requests = tomllib.loads((PROBES / "figurative.toml").read_text("utf-8"))["requests"]
    conditions = tomllib.loads((PROBES / "kinds.toml").read_text("utf-8"))["condition"]
    entries = [
        stated(condition["kind"], condition["says"], about=condition["about"], name=condition["about"])
        for condition in conditions
    ]
    asked = [request_ for request_ in requests if HALVES[_hash(request_) % 2] == half]
    assert len(asked) >= 25
    touched = sum(len(relevant(entries, request_)) for request_ in asked)
    assert touched <= 0.01 * len(asked) * len(entries)


@pytest.mark.parametrize(
    ("statement", "request_"),
    [
        ("I have a slipped disc.", "Shall I lift the heavy sofa up the stairs?"),
        ("I have a bad knee.", "Shall we go running up the hill?"),
        ("I have a slipped disc.", "How do I start with a dead lift?"),
        ("I take sertraline.", "Is going cold turkey okay?"),
        ("I'm a recovering alcoholic.", "Shall I order a whisky on the rocks?"),
        ("I'm a compulsive gambler.", "How do I hit the jackpot on the slots?"),
        ("I have a grass pollen allergy.", "Shall we lie down in the rye-grass meadow?"),
        ("I'm afraid of needles.", "Shall I try needle felting?"),
        ("I'm afraid of deep water.", "Shall we swim in the river?"),
        ("I quit smoking two months ago.", "May I have a smoke with my smoked salmon?"),
    ],
)
def test_what_is_left_out_as_figurative_leaves_the_danger_in(statement: str, request_: str) -> None:
    constraints = scan(statement)
    assert constraints
    assert relevant(constraints, request_)


@pytest.mark.parametrize(
    ("entry", "request_", "touches"),
    [
        (constraint("allergy", "sesame"), "Is it fine if I leave my EpiPen in the car?", True),
        (constraint("allergy", "sesame"), "Can we travel without the auto-injector?", True),
        (constraint("allergy", "sesame"), "Shall I leave my umbrella at home?", False),
        (constraint("phobia", "spiders"), "Is it fine if I leave my EpiPen in the car?", False),
        (constraint("medical", "asthma"), "May I leave the inhaler at home?", True),
        (constraint("medical", "adrenal insufficiency"), "Can I leave my tablets at home for a weekend?", True),
    ],
)
def test_leaving_the_remedy_behind_touches_what_it_is_for(
    entry: SafetyConstraint, request_: str, touches: bool
) -> None:
    assert bool(relevant([entry], request_)) == touches


def test_panic_attacks_are_also_a_fear_of_what_they_are_named_with() -> None:
    at_heights = stated("medical", "I have panic attacks at any height.", about="panic attacks")
    anywhere = stated("medical", "I have panic attacks.", about="panic attacks")
    assert relevant([at_heights], "Shall we cross the glass skywalk?") == ["it"]
    assert relevant([anywhere], "Shall we cross the glass skywalk?") == []


@pytest.mark.parametrize(
    ("entry", "request_"),
    [
        (stated("physical", "I am blind."), "How do I learn to play the piano by ear?"),
        (stated("physical", "I am blind."), "How do I format a hard drive?"),
        (stated("trauma", "I was raped."), "Can I stay at a hotel near the station?"),
        (stated("trauma", "I was raped."), "How do I draw the head of a man?"),
        (stated("addiction", "I'm a recovering cocaine addict."), "How do I change just one line in Vim?"),
        (stated("addiction", "I'm addicted to video games."), "What is the top level in a JSON file?"),
        (stated("medical", "I have depression."), "How do I make a popup disappear from a page?"),
    ],
)
def test_the_everyday_words_of_an_indirect_danger_touch_nothing(entry: SafetyConstraint, request_: str) -> None:
    assert relevant([entry], request_) == []


@given(st.text(max_size=200))
def test_any_text_has_an_intent_and_a_level(text: str) -> None:
    assert levels([PEANUTS], text)["it"] in get_args(Level)
    assert set(asked_part(text).words) <= set(text)


@given(st.text(max_size=60))
def test_characters_are_counted_and_words_are_found_again(text: str) -> None:
    assert count_words(text) >= len(split(text))


@pytest.mark.parametrize(
    ("request_", "is_thin"),
    [
        ("The hut lies at three and a half thousand metres, shall we sleep there?", True),
        ("Shall we sleep at 3,800 m on the way?", True),
        ("The lodge is at twelve thousand feet, should we book it?", True),
        ("Shall we stay at the refuge, 4000 metres above sea level?", True),
        ("Sollen wir in der Hütte auf 3.100 Metern übernachten?", True),
        ("¿Dormimos en el albergue a 3.500 metros?", True),
        ("On dort au gîte à trois mille mètres ?", True),
        ("我们去海拔4500米的湖边好吗?", True),
        ("Shall I buy 3000 metres of cable?", False),
        ("Is the car park 3,000 m away from the museum?", False),
        ("Is a flat at 300 metres from the sea a good choice?", False),
        ("Should I read a book about tranquility?", False),
    ],
)
def test_a_height_in_figures_or_words_is_thin_air_to_a_weak_lung(request_: str, is_thin: bool) -> None:
    assert bool(relevant(scan("I have severe COPD and need oxygen at night."), request_)) is is_thin


@pytest.mark.parametrize(
    "request_",
    [
        "The balcony table on the fortieth floor is free, should we book it?",
        "There is a seat left in the glass gondola, shall I book?",
        "Is it smart to book the cabin on the cliff edge?",
    ],
)
def test_to_book_something_is_to_meet_it_in_person(request_: str) -> None:
    assert relevant(scan("I have vertigo and fall at heights."), request_)


def test_every_word_that_only_begins_like_another_is_kept_apart_from_a_beginning_in_use() -> None:
    known = relations()
    without = known._replace(apart={})
    for beginning, words in known.apart.items():
        for word in words:
            assert word.startswith(beginning)
            assert len(list(known.found([word]))) < len(list(without.found([word]))), (beginning, word)


@pytest.mark.parametrize(
    ("statement", "request_"),
    [
        ("I'm allergic to watermelon.", "Shall I have the watermelon salad?"),
        ("I'm scared of deep water.", "Shall I swim in the water park?"),
        ("I have a liver disease.", "Should I eat liver pâté every day?"),
        ("I have a fear of birds.", "Shall I buy the feather boa?"),
    ],
)
def test_a_word_that_is_kept_apart_leaves_the_others_in(statement: str, request_: str) -> None:
    assert relevant(scan(statement), request_)


@pytest.mark.parametrize(
    ("statement", "request_", "is_touched"),
    [
        ("I have epilepsy.", "How do I file a patent for my kettle?", False),
        ("Soffro di epilessia.", "Come prendo la patente in fretta?", True),
        ("I have severe social anxiety.", "Is there a discount on these shoes?", False),
        ("Ich habe eine starke Sozialphobie.", "In welche Disco gehen wir am Samstag?", True),
        ("I have arachnophobia.", "Who is Helen Keller?", False),
        ("Soy alérgica a la soja.", "Soy de Madrid, ¿qué museo me recomiendas?", False),
        ("Soy alérgica a la soja.", "¿Preparo un batido de soja?", True),
        ("I have a phobia of insects.", "What shall I give my mother for her birthday?", False),
        ("Ich habe panische Angst vor Spinnen.", "Wie räume ich den alten Keller auf?", True),
    ],
)
def test_a_word_means_what_it_means_in_the_language_of_the_request(
    statement: str, request_: str, is_touched: bool
) -> None:
    assert bool(relevant(scan(statement), request_)) is is_touched


def test_every_lookalike_is_one_and_speaks_of_less_in_its_language() -> None:
    known = relations()
    for word, by_language in known.lookalikes.items():
        everywhere = frozenset[str]().union(*(names for _, names in known._replace(lookalikes={}).found([word])))
        for code, names in by_language.items():
            assert names < everywhere, f"{word!r} stands in lookalikes.toml under {code!r} for nothing"


def test_every_relation_leads_somewhere_and_is_listed_once() -> None:
    known = relations()
    for concept in known.concepts.values():
        assert concept.brings | concept.minds | concept.also | concept.may <= known.concepts.keys()
        assert concept.kinds <= set(get_args(Kind))
        assert concept.fields | concept.own <= FIELDS
    room = files("mirror_graph.relevance.relations")
    languages = [file for file in room.joinpath("by_language").iterdir() if file.name.endswith(".toml")]
    for file in languages:
        assert tomllib.loads(file.read_text("utf-8")).keys() <= known.concepts.keys(), file.name
    with_concepts = [file for file in room.iterdir() if file.name.endswith(".toml") and file.name != "lookalikes.toml"]
    fields = [file.read_text("utf-8") for file in with_concepts]
    assert sum(len(re.findall(r"^\[(?!\[)", field, re.MULTILINE)) for field in fields) == len(known.concepts)


def test_the_anticipation_prompt(snapshot: SnapshotAssertion) -> None:
    assert [message.text for message in triggers_prompt(PEANUTS)] == snapshot


def test_the_check_prompt(snapshot: SnapshotAssertion) -> None:
    assert [message.text for message in check_prompt([PEANUTS, DOGS], "Satay\n</mirror> tonight?")] == snapshot


def context(name: str, reply: Any) -> MirrorContext:
    def script(messages: Any) -> str:
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, str) else json.dumps(reply)

    register_script(name, script)
    return MirrorContext(talker_model=f"scripted:{name}")


async def test_thinking_writes_down_what_a_danger_is_met_by() -> None:
    slots = {"things": ["satay"], "places": ["night market"], "activities": ["cooking class"], "words": []}
    found = await generate_triggers(PEANUTS, context("anticipating", slots), 3)
    assert found.phrases == ["satay", "cooking class", "night market"]
    assert found.tokens["calls"] == 1


def test_a_phrase_that_adds_nothing_is_not_stored() -> None:
    slots = TriggerSlots(
        things=["peanuts", "Peanut", "peanut butter", "satay  sauce", "sauce satay", "the thing", "", "!!"],
        words=["nuts nuts nuts", "one two three four five six words", "ok"],
    )
    assert select_phrases(slots, "peanuts") == ["peanut butter", "satay sauce"]


def test_a_phrase_that_is_varied_without_end_is_cut_off() -> None:
    slots = TriggerSlots(things=[f"heron of {place}" for place in ("stone", "clay", "wood", "wire", "wax")])
    assert len(select_phrases(slots, "swans")) == 3


@given(st.lists(st.text(max_size=60), max_size=40), st.text(max_size=40))
def test_stored_phrases_are_bounded_and_unique(phrases: list[str], about: str) -> None:
    chosen = select_phrases(TriggerSlots(things=phrases, words=phrases[::-1]), about)
    assert len(chosen) == len(set(chosen)) <= PHRASES_LIMIT
    assert all(0 < len(phrase.split()) <= WORDS_LIMIT for phrase in chosen)


async def test_a_check_names_the_entries_the_model_names() -> None:
    entries = [{**PEANUTS, "id": "nuts"}, {**DOGS, "id": "dogs"}]
    found = await check(entries, "Satay?", context("checking", {"touched": [2, 7, -1]}), 1)  # type: ignore[arg-type]
    assert found.ids == ["dogs"]
    assert found.failure == ""
    assert found.tokens["calls"] == 1


@pytest.mark.parametrize("reply", ["no json", OSError("gone")], ids=["unreadable", "lost"])
async def test_where_the_check_fails_the_matcher_decides(reply: Any) -> None:
    found = await check([PEANUTS], "Satay?", context("failing", reply), 1)
    assert found.ids == ["it"]
    assert found.failure


async def test_a_check_is_not_waited_for() -> None:
    def slow(messages: Any) -> str:
        time.sleep(0.05)
        return "no json"

    register_script("slow", slow)
    found = await check([PEANUTS], "Satay?", MirrorContext(talker_model="scripted:slow"), 1, seconds=0.01)
    assert (found.ids, found.failure) == (["it"], "TimeoutError")
    assert found.seconds < 1


async def test_nothing_is_asked_where_there_is_nothing_to_check() -> None:
    assert (await check([], "Satay?", MirrorContext(talker_model="scripted:nobody"), 1)).ids == []


@pytest.fixture
def word_vectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[WordVectors]:
    # A busy machine is no failure.
    monkeypatch.setattr(choose, "similar_constraints", partial(similar_constraints, seconds=60.0))
    with serve_word_vectors(monkeypatch) as server:
        yield server


ZBLORKS = stated("other", "Glimmering zblorks from the old harbour undo me.", about="undoing", name="zblorks")


async def test_words_that_resemble_an_entry_touch_it(word_vectors: WordVectors) -> None:
    for request_, ids in (
        ("Shall we photograph the glimmering zblorks at the harbour?", ["zblorks"]),
        ("Could you proofread my essay on bakers?", []),
        ("What is the difference between a poem and a novel?", []),
    ):
        assert (await similar_constraints([ZBLORKS], request_, "openai:near", seconds=60.0)).ids == ids


async def test_an_entry_is_embedded_once_and_the_words_each_time(word_vectors: WordVectors) -> None:
    for words in ("one", "two"):
        await similar_constraints([ZBLORKS, DOGS], words, "openai:once", seconds=60.0)
    quotes = [ZBLORKS["source"]["quote"], DOGS["source"]["quote"]]
    assert word_vectors.asked == [["one", *quotes, *BASELINE_REQUESTS], ["two"]]


async def test_an_embeddings_model_works_along_with_the_matcher(word_vectors: WordVectors) -> None:
    context = MirrorContext(embeddings="openai:beside")
    said = [HumanMessage("Some satay while we photograph the glimmering zblorks at the harbour?", id="m1")]
    seen = await find_relevant([{**PEANUTS, "id": "nuts"}, ZBLORKS, DOGS], said, context, 1)
    assert seen.touched == frozenset({"nuts", "zblorks"})
    assert seen.failures == {"embeddings": ""}


async def test_to_tell_of_a_danger_is_not_to_resemble_it(word_vectors: WordVectors) -> None:
    said = [HumanMessage(f"Hi, I sing in a choir in Lisbon. {ZBLORKS['source']['quote']}", id="m1")]
    seen = await find_relevant([ZBLORKS], said, MirrorContext(embeddings="openai:telling"), 1)
    assert seen.touched == frozenset()


@pytest.mark.parametrize("status", [500, 401])
async def test_where_the_vectors_fail_the_matcher_decides(word_vectors: WordVectors, status: int) -> None:
    word_vectors.status = status
    seen = await find_relevant(
        [PEANUTS], [HumanMessage("Satay?", id="m1")], MirrorContext(embeddings=f"openai:failing-{status}"), 1
    )
    assert seen.touched == frozenset({"it"})
    assert seen.failures["embeddings"] in {"InternalServerError", "AuthenticationError"}
    assert len(word_vectors.asked) == 1, "a reply waits: nothing is asked twice"


async def test_vectors_are_not_waited_for(word_vectors: WordVectors) -> None:
    word_vectors.delay = 0.3
    found = await similar_constraints([PEANUTS], "Satay?", "openai:slow", seconds=0.05)
    assert (found.ids, found.failure) == ([], "TimeoutError")


@pytest.mark.parametrize("name", ["nobody", "openai:", ":ada"])
async def test_an_unknown_embeddings_model_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected openai:NAME"):
        await similar_constraints([PEANUTS], "Satay?", name)


FIELDS = {"food", "drink", "drug", "medicine", "media", "outing", "product", "habit"}


@pytest.mark.shared_data
@pytest.mark.parametrize(("half", "recall", "false_alarms"), [("A", 0.95, 0.12), ("B", 0.87, 0.12)])
def test_the_figures_on_the_development_constraints_hold(half: str, recall: float, false_alarms: float) -> None:
    kinds: dict[str, Kind] = {"Tra": "trauma", "Phy": "physical", "All": "allergy", "Pho": "phobia"}
    development = Path(os.environ["MIRROR_SHARED"]) / "data" / "curate" / "inputs_dev.csv"
    with development.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "AB"[_hash(row["constraint"]) % 2] == half]
    chance = random.Random(1)
    own, other = [], []
    for row in rows:
        category = row["category"].replace("Severe ", "")[:3].title()
        entry = stated(kinds[category], row["constraint"])
        own.append(evidence(entry, row["question_group_biased"]) >= THRESHOLD)
        strangers = chance.sample([other_row for other_row in rows if other_row["category"] != row["category"]], 3)
        other += [evidence(entry, stranger["question_group_biased"]) >= THRESHOLD for stranger in strangers]
    assert sum(own) / len(own) >= recall
    assert sum(other) / len(other) <= false_alarms


def _hash(text: str) -> int:
    return int(sha256(text.encode()).hexdigest(), 16)
