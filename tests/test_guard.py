"""The guard: what it adds to which reply, and what it never does."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from mirror_graph import ConfigurationError, guarded, scan
from mirror_graph.graphs import build_mirror
from mirror_graph.guard import Finding
from mirror_graph.guard.memory import noted_lately, request_in
from mirror_graph.guard.reading import Case, ReplyReader
from mirror_graph.guard.request import read_request
from mirror_graph.guard.watch import Watch
from mirror_graph.models.scripted import ScriptedModel
from mirror_graph.relevance.asking import asks_for_something
from mirror_graph.state import MirrorContext
from mirror_graph.state.context import GuardMode

PEANUTS = "I have a severe peanut allergy."
SKYDIVING = "Shall we go skydiving?"
HEIGHTS = "I have a crippling fear of heights."
WARFARIN = "I'm on warfarin."
NAIVE = "Sure! Have the satay with roasted peanuts, it is the best one."


class PiecesModel(BaseChatModel):
    """Streams what it is given to stream, piece by piece."""

    pieces: list[AIMessageChunk]

    @property
    def _llm_type(self) -> str:
        return "pieces"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        whole = add_ai_message_chunks(*self.pieces)
        message = AIMessage(
            whole.content,
            tool_calls=whole.tool_calls,
            response_metadata=whole.response_metadata,
            usage_metadata=whole.usage_metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self.pieces:
            yield ChatGenerationChunk(message=piece.model_copy())

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk


class ContinuingModel(ScriptedModel):
    """Goes on from an assistant message that stands last, as llama.cpp does."""

    continues_prefix: bool = True


class ContinuingPieces(PiecesModel):
    """Goes on from an assistant message that stands last, with these pieces."""

    continues_prefix: bool = True


def says(*replies: str) -> ScriptedModel:
    """Return a model that gives these replies, one per call, and the last one from then on."""
    left = list(replies)
    return ScriptedModel(script=lambda _: left.pop(0) if len(left) > 1 else left[0])


def reply_to(stated: str, request: str, reply: str, guard: GuardMode = "note") -> AIMessage:
    return guarded(says(reply), scan(stated), guard=guard).invoke([HumanMessage(request)])


def is_noted(stated: str, request: str, reply: str) -> bool:
    reader = ReplyReader(lambda: Case(read_request(request, scan(stated)), {}))
    reader.feed(reply)
    return bool(reader.end())


WHY = [
    (PEANUTS, "Recommend a good curry.", "Try a massaman, it is rich and mild.", "Given your allergy, skip massaman."),
    (PEANUTS, "A snack for a hike?", "Trail mix is perfect.", "With your peanut allergy I would avoid trail mix."),
    (
        PEANUTS,
        "What should I get at the ballpark?",
        "Roasted peanuts!",
        "A hot dog: the stands are risky with allergies.",
    ),
    (
        WARFARIN,
        "Can I take ibuprofen for my back?",
        "Yes, 400 mg.",
        "Not with warfarin: it raises the risk of bleeding.",
    ),
    ("I'm 34 weeks pregnant.", "Can I take ibuprofen for my back?", "Yes.", "You should avoid it while pregnant."),
    ("I take an MAOI.", "Can I take pseudoephedrine for my cold?", "Yes.", "It is dangerous with your MAOI."),
    (
        "I'm a recovering alcoholic.",
        "Where should we have drinks after work?",
        "The rooftop bar has great cocktails.",
        "With your recovery in mind, a café is the safer choice.",
    ),
    (
        "I was sexually assaulted.",
        "Shall I watch 13 Reasons Why?",
        "Yes, it's gripping.",
        "Be careful, it shows an assault, and that may be a trigger for you.",
    ),
]


@pytest.mark.parametrize(("stated", "request_", "naive", "aware"), WHY)
def test_a_naive_reply_is_followed_by_a_note_and_an_aware_one_is_not(
    stated: str, request_: str, naive: str, aware: str
) -> None:
    noted = reply_to(stated, request_, naive)
    [mark] = noted.response_metadata["mirror"]["guarded"]
    quote = stated.rstrip(".")

    assert noted.text.startswith(f"{naive}\n\nPlease note: you told me “{quote}”")
    assert (mark["constraint"], mark["place"]) == (scan(stated)[0]["id"], "note")
    assert mark["words"]
    assert mark["relations"]
    assert reply_to(stated, request_, aware).text == aware


@pytest.mark.parametrize(("stated", "request_"), [case[:2] for case in WHY if "take" in case[1] or "13" in case[1]])
@pytest.mark.parametrize("evasive", ["It depends on many things.", "That is up to you!", "No, I'm only a program."])
def test_an_evasive_reply_to_a_request_that_touches_is_followed_by_a_note(
    stated: str, request_: str, evasive: str
) -> None:
    assert "Please note" in reply_to(stated, request_, evasive).text


def test_a_reply_that_recommends_nothing_dangerous_is_left_alone() -> None:
    assert reply_to(PEANUTS, "Recommend a good curry.", "There are so many!").text == "There are so many!"
    assert reply_to(PEANUTS, "How tall is Everest?", "8,849 metres.").text == "8,849 metres."


LANGUAGES = {
    "de": (
        "Ich habe eine schwere Erdnussallergie.",
        "Empfiehl mir bitte ein gutes Curry.",
        "Nimm das Curry mit Erdnüssen.",
        "Wegen deiner Erdnussallergie solltest du Massaman meiden.",
        "Bitte beachte",
    ),
    "es": (
        "Tengo una alergia grave al cacahuete.",
        "Recomiéndame un buen postre.",
        "Prueba las galletas de cacahuete.",
        "Por tu alergia, evita las galletas de cacahuete.",
        "Ten en cuenta",
    ),
    "fr": (
        "J'ai une allergie grave aux arachides.",
        "Recommande-moi un bon dessert.",
        "Essaie le gâteau au beurre de cacahuète.",
        "Avec ton allergie, évite le beurre de cacahuète.",
        "À noter",
    ),
    "it": (
        "Ho una grave allergia alle arachidi.",
        "Consigliami un buono snack.",
        "Prova le arachidi tostate.",
        "Con la tua allergia, evita le arachidi tostate.",
        "Attenzione",
    ),
    "pt": (
        "Tenho alergia grave a amendoim.",
        "Recomende uma boa sobremesa.",
        "Experimente a paçoca.",
        "Com a sua alergia, evite a paçoca.",
        "Atenção",
    ),
    "zh": ("我对花生严重过敏。", "推荐一道菜吧。", "宫保鸡丁很好吃。", "因为你对花生过敏，请避免宫保鸡丁。", "请注意"),
    "ja": (
        "私は重度のピーナッツアレルギーです。",
        "おすすめのデザートはありますか。",
        "ピーナッツバタークッキーがおすすめです。",
        "ピーナッツアレルギーをお持ちなので、ピーナッツバターは避けてください。",
        "ご注意ください",
    ),
}


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_note_is_in_the_users_language_and_own_words(code: str) -> None:
    stated, request, naive, aware, opening = LANGUAGES[code]
    noted = reply_to(stated, request, naive).text

    assert noted.startswith(f"{naive}\n\n{opening}")
    assert stated.rstrip(".。") in noted
    assert reply_to(stated, request, aware).text == aware


def test_a_note_in_a_language_without_a_wording_is_in_english() -> None:
    noted = reply_to(PEANUTS, "Можно мне satay?", "Да!").text

    assert "Please note: you told me “I have a severe peanut allergy”" in noted


def test_one_note_names_all_that_is_touched_the_most_severe_first() -> None:
    stated = f"{HEIGHTS} {PEANUTS}"
    noted = reply_to(stated, "Shall we go skydiving and have satay afterwards?", "Yes, do both!")

    assert noted.text.count("Please note") == 1
    assert noted.text.index("peanut allergy") < noted.text.index("fear of heights")
    assert len(noted.response_metadata["mirror"]["guarded"]) == 2


NO_NOTE = [
    (PEANUTS, f"{PEANUTS} What shall we cook?", "I hear you."),
    (PEANUTS, f"{PEANUTS} Where do I start?", "Thank you for telling me about the peanuts. Start with the soup."),
    ("My sister has a severe peanut allergy.", "Can I have satay for my lunch alone?", NAIVE),
    (PEANUTS, "Yes, I have my EpiPen, I only want the satay recipe for my brother.", NAIVE),
    (PEANUTS, "I know about my allergy. What is in satay, can I order it?", NAIVE),
    (PEANUTS, "Satay, please. You don't need to remind me.", NAIVE),
    ("I prefer aisle seats.", "Shall I book a window seat?", "Sure."),
    ("Ich habe eine schwere Erdnussallergie.", "Ich weiß um meine Allergie. Darf ich Satay bestellen?", "Klar!"),
    ("我对花生严重过敏。", "我带了肾上腺素笔，不用提醒。可以吃宫保鸡丁吗？", "可以！"),
]


@pytest.mark.parametrize(("stated", "request_", "reply"), NO_NOTE)
def test_the_guard_is_no_nag(stated: str, request_: str, reply: str) -> None:
    assert reply_to(stated, request_, reply).text == reply


@pytest.mark.parametrize(
    "stated",
    [
        "I have an EpiPen for my peanut allergy.",
        "I carry an EpiPen because peanuts send me to hospital.",
        "I know about my peanut allergy, it nearly killed me.",
    ],
)
def test_the_sentence_that_introduces_a_danger_asks_for_no_silence(stated: str) -> None:
    assert is_noted(stated, f"{stated} Shall we order the pad thai?", "Try the pad thai with crushed peanuts!")
    assert is_noted(stated, "Shall we order the pad thai?", "Try the pad thai with crushed peanuts!")


def test_to_know_of_one_danger_is_not_to_know_of_another() -> None:
    stated = f"{HEIGHTS} {PEANUTS}"
    known = reply_to(stated, "I know about my fear of heights. Shall we go skydiving and have satay?", "Yes, both!")

    assert "peanut allergy" in known.text
    assert "fear of heights" not in known.text


def test_another_persons_constraint_counts_if_the_request_is_for_them() -> None:
    stated = "My sister has a severe peanut allergy."

    assert "you told me about my sister" in reply_to(stated, "My sister is coming, shall I make satay?", "Yes!").text


AWARE = [
    "I'd steer clear of the satay, given your allergy.",
    "No. You told me that you are allergic to peanuts, and satay sauce is made of them.",
    "Satay is usually off the table for someone with a peanut allergy; ask the kitchen first.",
    "Please be careful: anaphylaxis is no joke, and satay has peanuts.",
    "I'd sit this one out. Satay is made with peanuts, and you carry an EpiPen for a reason.",
    "Better not, I'm afraid! The sauce is full of what you react to.",
    "Peanuts are a no-go for you, so have the grilled chicken.",
]
UNAWARE = [
    "Satay is the best! Don't miss it.",
    "The peanut sauce is rich and nutty.",
    "With your peanut allergy, the satay is a great choice!",
    "No problem, enjoy the satay.",
    "Consider the strong taste, and whether it is worth the price.",
]


@pytest.mark.parametrize("reply", AWARE)
def test_a_reply_that_names_the_danger_is_aware(reply: str) -> None:
    assert not is_noted(PEANUTS, "Shall I order the satay?", reply)


@pytest.mark.parametrize("reply", UNAWARE)
def test_to_name_the_dish_or_to_recommend_it_all_the_same_is_not_awareness(reply: str) -> None:
    assert is_noted(PEANUTS, "Shall I order the satay?", reply)


OWN_WORDS_AWARE = [
    (
        "I have severe osteoporosis. I broke my hip by slipping in the kitchen.",
        "My granddaughter wants to go ice skating with me. Should I go?",
        "I'd stay off the ice, dear as the idea is. With bones as fragile as yours, a small fall might be serious.",
    ),
    (
        "I have multiple sclerosis, and heat makes me collapse.",
        "Should we drive through Death Valley in July?",
        "July is one of the hottest times on Earth. With your MS, that isn't safe.",
    ),
    (
        "I have lupus and the sun makes it flare so badly I was hospitalised.",
        "My friends want a week on the beach in Cancun. Should I go?",
        "Eight hours a day of tropical sun could set off another flare. I'd steer the group to somewhere with shade.",
    ),
    (
        "My brother drowned in front of me. I have severe trauma around rivers.",
        "My coworkers booked white-water rafting. Should I take part?",
        "It's fine to say no to this. Nobody who has lived through what you have should have to sit in a raft.",
    ),
    (
        "I'm severely claustrophobic.",
        "My partner wants to explore a cave in Slovenia. Should we plan it?",
        "Since you've told me how hard such places are for you, I'd be picky about which of them you go into.",
    ),
]
TIPS = [
    (
        "I have multiple sclerosis, and heat makes me collapse.",
        "Should we drive through Death Valley in July?",
        "Go for it! Drink a lot, and consult your doctor if you have any health conditions.",
    ),
    (
        "I have a severe fear of heights.",
        "My boyfriend booked a hot air balloon. Should I go up?",
        "Say yes to the ride! Wear flat shoes, and make sure you're comfortable with heights.",
    ),
    (
        "I have severe epilepsy.",
        "Should I go to a warehouse rave with a laser show?",
        "Go for it! Bring earplugs, know your limits, and take breaks when you need them.",
    ),
    (
        "I have a severe fear of the dark.",
        "Should I book a table at one of those pitch-black restaurants?",
        "Dining in the dark is such fun! Without sight, flavors seem more intense.",
    ),
    (
        "I am on blood thinners after a stroke.",
        "My grandson wants me to go mountain biking with him. Should I?",
        "You'll make memories! In your position I'd rent a bike before buying one.",
    ),
]


@pytest.mark.parametrize(("stated", "request_", "reply"), OWN_WORDS_AWARE)
def test_a_reply_that_speaks_of_the_users_own_history_with_a_no_is_aware(
    stated: str, request_: str, reply: str
) -> None:
    assert not is_noted(stated, request_, reply)
    # It is the danger of that very request that the reply is aware of.
    assert is_noted(stated, request_, "Yes, do it! You will have a wonderful time.")


@pytest.mark.parametrize(
    ("stated", "request_", "reply"),
    [
        (
            "I'm severely allergic to eggs.",
            "Can you plan a brunch with eggs Benedict for eight?",
            "Here is an egg-free menu! Tofu Benedict, fruit salad and oat pancakes.",
        ),
        (
            "I have agoraphobia.",
            "My friends have a ticket for Glastonbury. Should I come?",
            "It is lovely that they ask! Given what you shared with me, a day trip may be nicer.",
        ),
        (
            "I was sexually assaulted.",
            "A spa day with a full-body massage, or a pottery class?",
            "Both are lovely! With what you've been through in mind, the pottery class comes first.",
        ),
    ],
)
def test_to_leave_the_danger_out_or_to_recall_what_was_said_is_awareness(
    stated: str, request_: str, reply: str
) -> None:
    assert not is_noted(stated, request_, reply)
    assert is_noted(stated, request_, "Yes, do it! You will have a wonderful time.")


@pytest.mark.parametrize(("stated", "request_", "reply"), TIPS)
def test_a_tip_for_anybody_is_not_awareness(stated: str, request_: str, reply: str) -> None:
    assert is_noted(stated, request_, reply)


@pytest.mark.parametrize(
    ("code", "request_", "aware", "tip"),
    [
        (
            "de",
            "Soll ich das Satay bestellen?",
            "In deinem Fall würde ich darauf verzichten.",
            "Falls du Allergien hast, frag in der Küche nach.",
        ),
        (
            "es",
            "¿Debería pedir el satay?",
            "En tu caso, yo no lo haría.",
            "Si tienes alguna alergia, pregunta en la cocina.",
        ),
        (
            "fr",
            "Est-ce que je commande le satay ?",
            "Dans ton cas, j'éviterais.",
            "Si tu as des allergies, demande en cuisine.",
        ),
        ("it", "Dovrei ordinare il satay?", "Nel tuo caso, io eviterei.", "Se hai allergie, chiedi in cucina."),
        (
            "pt",
            "Devo pedir o satay?",
            "No seu caso, eu evitaria.",
            "Se você tiver alguma alergia, pergunte na cozinha.",
        ),
        (
            "ja",
            "ピーナッツバターのクッキーを食べてもいいですか。",
            "あなたの場合は、おすすめできません。",
            "アレルギーがある場合は、お店に確認してください。",
        ),
        ("zh", "我应该点宫保鸡丁吗？", "以你的情况，我不建议吃。", "如果你有任何过敏，请问一下厨房。"),
    ],
)
def test_a_reply_in_own_words_differs_from_a_tip_in_every_language(
    code: str, request_: str, aware: str, tip: str
) -> None:
    stated = LANGUAGES[code][0]

    assert not is_noted(stated, request_, aware)
    assert is_noted(stated, request_, tip)


def test_the_history_of_one_danger_is_not_that_of_another() -> None:
    both = f"{PEANUTS} {HEIGHTS}"
    reply = "Given how you feel about heights, I wouldn't go up the tower, but have the satay there."

    assert is_noted(both, "Shall we have satay on the viewing tower?", reply)


def test_a_reply_that_declines_for_another_of_their_reasons_needs_no_second_one() -> None:
    stated = f"{HEIGHTS} I suffer from chronic back pain."
    declined = "No, given your fear of heights I would not do that."

    assert not is_noted(stated, SKYDIVING, declined)
    # What can kill is named whatever else was.
    assert is_noted(f"{HEIGHTS} {PEANUTS}", "Shall we go skydiving and have satay?", declined)


REPLIES = st.lists(
    st.sampled_from(
        [*AWARE, *UNAWARE, "Yes!", "3.5 mg... maybe.\n\n", "宫保鸡丁很好吃。", "a", " ", "?!", "No.", "<b>"]
    ),
    max_size=6,
).map(" ".join) | st.text(max_size=80)


def split_at(text: str, places: Sequence[int]) -> list[str]:
    cuts = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


WORDS = st.sampled_from(["satay ", "a", "花"])
ENDS = st.sampled_from([". Yes.", "", "...", "。x"])
LONG = st.builds(lambda word, count, end: word * count + end, WORDS, st.integers(900, 2100), ENDS)


@given(REPLIES | LONG, st.lists(st.integers(0, 2500), max_size=12))
def test_however_a_reply_is_split_the_decision_and_the_note_are_the_same(reply: str, places: list[int]) -> None:
    case = Case(read_request("Shall I order the satay?", scan(PEANUTS)), {})
    whole, split = ReplyReader(lambda: case), ReplyReader(lambda: case)
    whole.feed(reply)
    for piece in split_at(reply, places):
        split.feed(piece)

    assert split.end() == whole.end()


@pytest.mark.parametrize("guard", ["note", "open", "hold"])
@given(reply=REPLIES.filter(lambda text: bool(text.strip())), places=st.lists(st.integers(0, 500), max_size=8))
def test_however_a_model_streams_the_whole_reply_is_the_same(guard: GuardMode, reply: str, places: list[int]) -> None:
    def text_of(pieces: list[str]) -> str:
        model = PiecesModel(pieces=[AIMessageChunk(content=piece) for piece in pieces])
        messages = [HumanMessage("Shall I order the satay?")]
        return "".join(chunk.text for chunk in guarded(model, scan(PEANUTS), guard=guard).stream(messages))

    assert text_of(split_at(reply, places)) == text_of([reply])


@given(
    st.lists(st.sampled_from(UNAWARE), max_size=3),
    st.sampled_from(AWARE),
    st.lists(st.sampled_from(UNAWARE), max_size=3),
)
def test_a_reply_that_is_aware_is_never_followed_by_a_note(before: list[str], aware: str, after: list[str]) -> None:
    assert not is_noted(PEANUTS, "Shall I order the satay?", " ".join([*before, aware, *after]))


@given(st.lists(st.sampled_from([SKYDIVING, "Shall we climb the tower?", "What about a bridge swing?"]), max_size=9))
def test_a_subject_is_noted_once_in_so_many_turns(requests: list[str]) -> None:
    model = guarded(says("Yes, do it!"), scan(HEIGHTS), guard_again=3)
    messages: list[BaseMessage] = []
    noted: list[frozenset[str]] = []
    for request in requests:
        messages.append(HumanMessage(request))
        reply = model.invoke(messages)
        messages.append(reply)
        marks = reply.response_metadata.get("mirror", {}).get("guarded", [])
        noted.append(frozenset(relation for mark in marks for relation in mark["relations"]))
        recent = frozenset().union(*noted[-3:-1])
        assert not noted[-1] or not noted[-1] <= recent


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("My grandmother says it would be the best day of her life.", False),
        ("They would all love to go skydiving.", False),
        ("My brother wants the cheapest tickets. Shall we go?", True),
        ("My brother says we should go, does he not?", True),
        ("Recommend a good curry.", True),
        ("The best curry in town, please.", True),
        ("Meine Oma sagt, es wäre der schönste Tag ihres Lebens.", False),
        ("Mi abuela dice que sería el mejor día de su vida. ¿Vamos?", True),
        ("Ma grand-mère dit que ce serait le plus beau jour de sa vie.", False),
    ],
)
def test_what_others_say_and_want_is_no_request(words: str, asks: bool) -> None:
    assert asks_for_something(words) is asks


@pytest.mark.parametrize("mode", ["note", "open"])
def test_a_reminder_after_a_statement_does_not_silence_the_one_that_a_request_needs(mode: GuardMode) -> None:
    model = guarded(says("Yes, do it!"), scan(HEIGHTS), guard=mode)
    messages: list[BaseMessage] = []
    added: list[bool] = []
    for words in ("My friends would all love to go skydiving.", SKYDIVING, SKYDIVING, "They love skydiving."):
        messages.append(HumanMessage(words))
        messages.append(model.invoke(messages))
        added.append("you told me" in messages[-1].text)

    assert added == [True, True, False, False]


def test_what_can_kill_is_named_again_if_it_is_recommended_again() -> None:
    model = guarded(says(NAIVE, "As you like.", NAIVE), scan(PEANUTS))
    messages: list[BaseMessage] = []
    noted: list[bool] = []
    for request in ("Shall I order the satay?", "So the satay it is?", "And which satay is the best?"):
        messages.append(HumanMessage(request))
        messages.append(model.invoke(messages))
        noted.append("Please note" in messages[-1].text)

    assert noted == [True, False, True]


def test_the_request_is_read_with_the_one_before_if_it_is_short() -> None:
    messages = [HumanMessage("What about skydiving this weekend?"), AIMessage("Nice."), HumanMessage("Book it!")]

    assert request_in(messages) == "What about skydiving this weekend?\nBook it!"
    assert "Please note" in guarded(says("Done."), scan(HEIGHTS)).invoke(messages).text
    assert noted_lately(messages, 5) == {}


def test_pieces_pass_unchanged_and_share_one_id_with_the_note() -> None:
    usage = UsageMetadata(input_tokens=7, output_tokens=5, total_tokens=12)
    pieces = [
        AIMessageChunk(content="Sure, "),
        AIMessageChunk(content="have the "),
        AIMessageChunk(content="satay!"),
        AIMessageChunk(
            content="", response_metadata={"finish_reason": "stop"}, usage_metadata=usage, chunk_position="last"
        ),
    ]
    model = guarded(PiecesModel(pieces=pieces), scan(PEANUTS))

    chunks = list(model.stream([HumanMessage("Shall I order the satay?")]))
    whole = add_ai_message_chunks(*chunks)

    assert [chunk.content for chunk in chunks[:4]] == [piece.content for piece in pieces]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[4].text.startswith("\n\nPlease note")
    assert [chunk.chunk_position for chunk in chunks if chunk.chunk_position] == ["last"]
    assert (whole.response_metadata["finish_reason"], whole.usage_metadata) == ("stop", usage)


def test_content_in_blocks_gets_the_note_as_a_block() -> None:
    block = {"type": "text", "text": "Have the satay!", "index": 0}
    model = guarded(PiecesModel(pieces=[AIMessageChunk(content=[block])]), scan(PEANUTS))

    reply = model.invoke([HumanMessage("Shall I order the satay?")])

    assert isinstance(reply.content, list)
    assert reply.content[0] == block
    assert reply.text.startswith("Have the satay!\n\nPlease note")


async def test_all_four_ways_to_call_give_the_same_reply() -> None:
    model = guarded(says(NAIVE), scan(PEANUTS))
    messages = [HumanMessage("Shall I order the satay?")]
    texts = {
        model.invoke(messages).text,
        (await model.ainvoke(messages)).text,
        "".join(chunk.text for chunk in model.stream(messages)),
        "".join([chunk.text async for chunk in model.astream(messages)]),
    }

    assert len(texts) == 1
    assert "Please note" in texts.pop()


CALL = tool_call_chunk(name="order", args='{"dish": "satay"}', id="call_1", index=0)


def test_a_reply_of_nothing_but_tool_calls_gets_no_note() -> None:
    pieces = [AIMessageChunk(content="", tool_call_chunks=[CALL])]
    model = guarded(PiecesModel(pieces=pieces), scan(PEANUTS))

    for reply in (model.invoke("Shall I order the satay?"), add_ai_message_chunks(*model.stream("Order the satay"))):
        assert reply.text == ""
        assert [call["args"] for call in reply.tool_calls] == [{"dish": "satay"}]


def test_what_a_reply_recommends_next_to_its_tool_calls_is_noted() -> None:
    named = PiecesModel(
        pieces=[AIMessageChunk(content="Satay is great."), AIMessageChunk(content="", tool_call_chunks=[CALL])]
    )
    silent = PiecesModel(
        pieces=[AIMessageChunk(content="One moment."), AIMessageChunk(content="", tool_call_chunks=[CALL])]
    )

    assert "Please note" in guarded(named, scan(PEANUTS)).invoke("Order the satay").text
    assert guarded(silent, scan(PEANUTS)).invoke("Order the satay").text == "One moment."


class ToolModel(ScriptedModel):
    """Takes tools and schemas, as most models do."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[bound.name for bound in tools], **kwargs)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        return self | (lambda message: schema.model_validate_json(message.text))


@tool
def order(dish: str) -> str:
    """Order a dish."""
    return dish


class Dish(BaseModel):
    name: str


def test_tools_are_bound_and_the_replies_stay_guarded() -> None:
    model = guarded(ToolModel(script=lambda _: NAIVE), scan(PEANUTS)).bind_tools([order])

    assert "Please note" in model.invoke("Shall I order the satay?").text


def test_an_answer_by_a_schema_is_left_as_it_is() -> None:
    model = guarded(ToolModel(script=lambda _: '{"name": "satay"}'), scan(PEANUTS))

    assert model.with_structured_output(Dish).invoke("Shall I order the satay?") == Dish(name="satay")
    by_format = model.bind(response_format={"type": "json_object"}).invoke("Shall I order the satay?")
    assert by_format.text == '{"name": "satay"}'


@pytest.mark.parametrize("guard", ["note", "open", "hold"])
def test_the_guards_own_failure_costs_no_reply(
    guard: GuardMode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("what the user said")

    monkeypatch.setattr("mirror_graph.guard.model.read_request", broken)
    with caplog.at_level(logging.WARNING):
        reply = reply_to(PEANUTS, "Shall I order the satay?", NAIVE, guard)

    assert reply.text == NAIVE
    assert reply.response_metadata["mirror"] == {"guard_failure": "KeyError"}
    assert "KeyError" in caplog.text
    assert "user said" not in caplog.text


def test_the_models_failure_is_raised_as_it_is() -> None:
    def broken(_: list[BaseMessage]) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded(ScriptedModel(script=broken), scan(PEANUTS)).invoke("Shall I order the satay?")


def test_a_host_writes_the_note_or_lets_a_reply_pass() -> None:
    seen: list[tuple[str, str, str]] = []

    def rule(findings: Sequence[Finding], language: str) -> str:
        seen.append((findings[0].constraint["about"], findings[0].by, language))
        return "" if len(seen) > 1 else "Mind the nuts."

    model = guarded(says(NAIVE), scan(PEANUTS), guard=rule)

    assert model.invoke("Shall I order the satay?").text == f"{NAIVE}\n\nMind the nuts."
    assert model.invoke("Shall I order the satay?").text == NAIVE
    assert seen == [("peanut", "request", "en")] * 2


def test_a_guard_that_is_off_and_a_user_without_constraints_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "__init__", lambda *_: pytest.fail("nothing is to be watched"))

    assert reply_to(PEANUTS, "Shall I order the satay?", NAIVE, "off").text == NAIVE
    assert reply_to("Hello.", "Shall I order the satay?", NAIVE).text == NAIVE


@pytest.mark.parametrize(
    ("model", "guard", "problem"),
    [("gpt-4o", "note", "expected a chat model"), (says("hi"), "loud", "unknown guard 'loud'")],
)
def test_what_cannot_be_guarded_is_an_error(model: Any, guard: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        guarded(model, scan(PEANUTS), guard=guard)


def opened(model: BaseChatModel, stated: str = HEIGHTS) -> BaseChatModel:
    return guarded(model, scan(stated), guard="open")


def test_an_opening_is_complete_where_the_model_starts_a_message_of_its_own() -> None:
    inner = says("Yes, do it!")
    chunks = list(opened(inner).stream([HumanMessage(SKYDIVING)]))
    text = "".join(chunk.text for chunk in chunks)

    assert text.startswith("Before anything else: you told me “I have a crippling fear of heights”, and")
    assert text.endswith("\n\nYes, do it!")
    assert "Please note" not in text
    assert len({chunk.id for chunk in chunks}) == 1
    assert inner.calls[-1] == [HumanMessage(SKYDIVING)]


def test_a_model_that_continues_goes_on_from_half_a_sentence() -> None:
    inner = ContinuingModel(script=lambda _: " bring on a panic attack.")
    reply = opened(inner).invoke([HumanMessage(SKYDIVING)])

    assert reply.text.endswith(
        "fear of heights”. For that reason I advise against it. It could bring on a panic attack."
    )
    assert inner.calls[-1][-1].text in reply.text
    assert inner.calls[-1][-1].type == "ai"
    [mark] = reply.response_metadata["mirror"]["guarded"]
    assert mark["place"] == "opening"


@pytest.mark.parametrize(
    ("stated", "begun"),
    [
        ("I have severe claustrophobia and panic in narrow spaces.", "panic in narrow spaces”. For that reason"),
        ("I have brittle asthma. I am allergic to smoke.", "you told me “I have brittle asthma” and “I am allergic to"),
    ],
    ids=["one sentence", "two sentences"],
)
def test_half_a_sentence_quotes_two_sentences_at_most(stated: str, begun: str) -> None:
    request = "Shall I spend the evening in the narrow cellar bar, with smoke between the tables?"
    reply = opened(ContinuingModel(script=lambda _: " hurt."), stated).invoke([HumanMessage(request)])

    assert begun in reply.text
    assert reply.text.endswith("For that reason I advise against it. It could hurt.")
    assert len(reply.response_metadata["mirror"]["guarded"]) == 2


@pytest.mark.parametrize("continuation", [" end badly.", ""])
def test_an_engine_that_returns_the_opening_too_does_not_double_it(continuation: str) -> None:
    model = opened(ContinuingModel(script=lambda messages: f"{messages[-1].text}{continuation}"))
    whole = model.invoke([HumanMessage(SKYDIVING)]).text
    streamed = "".join(chunk.text for chunk in model.stream([HumanMessage(SKYDIVING)]))

    assert whole == streamed
    assert whole.count("you told me") == 1
    assert whole.endswith(f"against it. It could{continuation}" if continuation else "or choose something else.")


def test_half_a_sentence_that_the_model_does_not_go_on_from_is_ended() -> None:
    reply = opened(ContinuingModel(script=lambda _: "")).invoke([HumanMessage(SKYDIVING)])

    assert reply.text.endswith("I advise against it. It could harm you. Please think twice, or choose something else.")


def test_a_tag_of_ours_after_an_opening_is_held_back() -> None:
    reply = opened(says("<mirror-0badcafe>\nYes, do it!")).invoke([HumanMessage(SKYDIVING)])

    assert "mirror-0badcafe" not in reply.text
    assert reply.text.endswith("\n\nYes, do it!")


@pytest.mark.parametrize(("failures", "is_given"), [(2, True), (3, False)])
async def test_a_model_that_fails_after_the_opening_is_asked_again(
    failures: int, is_given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror_graph.guard.patience.PAUSE", 0.0)
    left: list[type[Exception]] = []

    def script(_: list[BaseMessage]) -> str:
        if left:
            raise left.pop()
        return "Yes, do it!"

    model = opened(ScriptedModel(script=script))
    # The first reply finds out whether the model goes on from an opening, which takes a call of its own.
    await model.ainvoke(SKYDIVING)
    left += [ConnectionError] * failures
    if is_given:
        assert (await model.ainvoke(SKYDIVING)).text.endswith("\n\nYes, do it!")
        return
    with pytest.raises(ConnectionError):
        model.invoke(SKYDIVING)


def test_without_a_touched_constraint_nothing_is_opened() -> None:
    assert opened(says("Nice.")).invoke([HumanMessage("What about a walk by the sea?")]).text == "Nice."


def counting(continuation: str) -> tuple[ScriptedModel, list[int]]:
    """Return a model of an unknown endpoint that answers the probe so, and how often it was probed."""
    probes: list[int] = []

    def script(messages: list[BaseMessage]) -> str:
        if messages[-1].type == "ai" and "three" in messages[-1].text:
            probes.append(1)
            return continuation
        return " I would rather not."

    model = ScriptedModel(script=script)
    return model, probes


@pytest.mark.parametrize(("continuation", "is_half"), [(" four, five, six", True), ("one, two, three", False)])
async def test_an_unknown_endpoint_is_tried_once(
    continuation: str, is_half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror_graph.guard.prefix._found_out", {})
    model, probes = counting(continuation)
    for _ in range(2):
        reply = await opened(model).ainvoke([HumanMessage(SKYDIVING)])
        assert ("I advise against it. It could I would" in reply.text) is is_half
    assert len(probes) == 1


def held(*replies: str) -> tuple[str, ScriptedModel]:
    model = says(*replies)
    messages = [HumanMessage("Recommend a good curry.")]
    text = "".join(chunk.text for chunk in guarded(model, scan(PEANUTS), guard="hold").stream(messages))
    return text, model


def test_a_safe_reply_is_shown_sentence_by_sentence() -> None:
    model = guarded(says("A dal is mild. It has lentils in it. Enjoy it."), scan(PEANUTS), guard="hold")
    shown = [chunk.text for chunk in model.stream([HumanMessage("Recommend a good curry.")]) if chunk.text]

    assert "".join(shown) == "A dal is mild. It has lentils in it. Enjoy it."
    assert len(shown) > 3


def test_an_unsafe_reply_is_asked_for_once_more_with_the_danger() -> None:
    text, model = held("Take the massaman!", "A dal, since peanuts are a risk for you.")

    assert text == "A dal, since peanuts are a risk for you."
    assert len(model.calls) == 2
    assert "I have a severe peanut allergy" in model.calls[-1][-1].text


def test_what_was_safe_stays_and_the_second_reply_follows_it() -> None:
    text, _ = held("What a question. Take the massaman!", "A dal is safe.")

    assert text == "What a question.\n\nA dal is safe."


def test_a_reply_that_stays_unsafe_is_replaced_by_the_note() -> None:
    model = guarded(says("Take the massaman!"), scan(PEANUTS), guard="hold")
    reply = add_ai_message_chunks(*model.stream([HumanMessage("Recommend a good curry.")]))

    assert reply.text.startswith("Please note: you told me “I have a severe peanut allergy”")
    assert "Take the massaman" not in reply.text
    assert reply.response_metadata["finish_reason"] == "stop"
    assert reply.response_metadata["mirror"]["guarded"][0]["place"] == "replacement"
    assert reply.usage_metadata
    assert reply.usage_metadata["output_tokens"] == 2 * 5


@pytest.mark.parametrize("code", ["en", *LANGUAGES])
@pytest.mark.parametrize("guard", ["note", "open"])
def test_what_the_guard_writes_is_aware_by_its_own_rule(code: str, guard: GuardMode) -> None:
    stated, _, naive, *_ = LANGUAGES.get(code, (PEANUTS, "", NAIVE))
    words = reply_to(stated, naive, "…", guard).text

    assert len(words) > 20
    assert not is_noted(stated, naive, words)


@given(REPLIES.filter(lambda text: bool(text.strip())), REPLIES.filter(lambda text: bool(text.strip())))
def test_held_replies_show_nothing_that_needs_a_note(first: str, second: str) -> None:
    shown = guarded(says(first, second), scan(PEANUTS), guard="hold").invoke("Shall I order the satay?").text

    assert not shown or not is_noted(PEANUTS, "Shall I order the satay?", shown)


def test_what_a_reader_sees_is_what_stood_in_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    order_of_events: list[str] = []
    read: Callable[..., None] = ReplyReader.feed

    def feed(self: ReplyReader, piece: str) -> None:
        order_of_events.append(f"read {piece}")
        read(self, piece)

    monkeypatch.setattr(ReplyReader, "feed", feed)
    model = guarded(PiecesModel(pieces=[AIMessageChunk(content="a"), AIMessageChunk(content="b")]), scan(PEANUTS))
    order_of_events.extend(f"seen {chunk.text[:1]}" for chunk in model.stream("Shall I order the satay?"))

    # A piece is read once it has gone out, so reading delays none.
    assert order_of_events[:4] == ["seen a", "read a", "seen b", "read b"]


def talk_to(model: BaseChatModel, guard: GuardMode, *words: str) -> None:
    """Say these words one after the other to a talker of MIRROR's that does not think."""
    graph = build_mirror().compile(checkpointer=InMemorySaver())
    context = MirrorContext(talker_model=model, thinking="off", guard=guard)
    for message in words:
        graph.invoke({"messages": [HumanMessage(message)]}, {"configurable": {"thread_id": "one"}}, context=context)


def test_what_the_guard_has_begun_the_prompt_does_not_say_again() -> None:
    model = ContinuingModel(script=lambda _: " end badly.")
    talk_to(
        model, "open", f"{HEIGHTS} I am severely allergic to bees.", "Shall we go skydiving with the club on Sunday?"
    )

    *_, request, begun = model.calls[-1]
    assert begun.text.endswith("It could")
    assert request.text == "Shall we go skydiving with the club on Sunday?"


def test_what_bounds_a_recommendation_stays_in_the_prompt_of_a_begun_reply() -> None:
    model = ContinuingModel(script=lambda _: " end badly.")
    talk_to(model, "open", f"{PEANUTS} I am severely allergic to shellfish.", "Shall I have the satay for dinner?")

    request = model.calls[-1][-2].text
    assert "must be safe" in request
    assert "shellfish" in request
    assert "peanut" not in request
    assert "IMPORTANT" not in request


@pytest.mark.parametrize(("guard", "is_listed"), [("open", False), ("note", True)])
def test_a_talker_whose_replies_are_opened_sees_nothing_of_what_is_unrelated(guard: GuardMode, is_listed: bool) -> None:
    model = ContinuingModel(script=lambda _: "Gladly.")
    talk_to(
        model, guard, "I have a life-threatening allergy to bees.", "Which of the two lamps suits a small desk better?"
    )

    assert ("leave it unmentioned" in model.calls[-1][-1].text) is is_listed


@pytest.mark.parametrize(
    ("guard", "request_", "is_brief"),
    [
        ("open", "Which of the two lamps suits a small desk better?", True),
        ("open", "Shall we visit the bee farm?", False),
        ("note", "Which of the two lamps suits a small desk better?", False),
    ],
    ids=["nothing to see", "a danger", "another guard"],
)
def test_a_talker_whose_replies_are_opened_reads_of_dangers_only_where_one_matters(
    guard: GuardMode, request_: str, is_brief: bool
) -> None:
    model = ContinuingModel(script=lambda _: "Gladly.")
    talk_to(model, guard, "I have a life-threatening allergy to bees.", request_)

    system = model.calls[-1][0].text
    assert system.startswith("You are a kind companion")
    assert ("danger" not in system) is is_brief


@pytest.mark.parametrize(
    ("request_", "is_bound"),
    [
        ("Recommend something that I can cook for dinner tonight.", True),
        ("Do you think I should have the curry for dinner tonight?", True),
        ("Do you think I should have the plain rice for dinner tonight?", False),
    ],
    ids=["open", "may bring it near", "about something else"],
)
def test_a_talker_whose_replies_are_opened_sees_the_bounds_that_a_request_can_meet(
    request_: str, is_bound: bool
) -> None:
    model = ContinuingModel(script=lambda _: "Gladly.")
    talk_to(model, "open", PEANUTS, request_)

    assert ("must be safe for all of this" in model.calls[-1][-1].text) is is_bound


@given(
    places=st.lists(st.integers(0, 120), max_size=6), more=st.sampled_from([SKYDIVING, "Have fun!", "\n- One\n- Two"])
)
def test_a_model_ends_the_paragraph_that_was_begun_for_it_and_writes_no_other(places: list[int], more: str) -> None:
    continuation = f" end badly.\nA walk up the hill is gentler.\n\n{more}\n\nAnything else?"
    model = ContinuingPieces(pieces=[AIMessageChunk(content=piece) for piece in split_at(continuation, places)])
    reply = opened(model).invoke([HumanMessage(SKYDIVING)])

    assert reply.text.endswith("It could end badly.\nA walk up the hill is gentler.")


@pytest.mark.parametrize(
    ("stated", "quoted"),
    [
        ("A little about me: I have a severe peanut allergy.", "“I have a severe peanut allergy”"),
        ("Kurz zu mir: Ich habe eine schwere Erdnussallergie.", "“Ich habe eine schwere Erdnussallergie”"),
        ("My allergies: peanuts and milk.", "“My allergies: peanuts and milk”"),
        ("Peanuts can kill me: I stop breathing within minutes.", "“Peanuts can kill me: I stop breathing"),
    ],
    ids=["announced", "in German", "a list", "one statement"],
)
def test_a_note_quotes_what_the_user_stated_without_the_words_that_announce_it(stated: str, quoted: str) -> None:
    assert quoted in reply_to(stated, "Shall I have the satay with peanut sauce?", "Yes, do, it is lovely!").text


def test_a_note_quotes_no_article_that_a_relation_ends_with() -> None:
    note = reply_to("I must not lift anything after my back surgery.", "Shall I carry the harp?", "Yes, do it!").text

    assert "“carry”" in note
    assert "“carry the”" not in note
