"""The script behind `scripted:demo`: a birthday dinner, and an allergy that is known only where the prompt holds it.

Nothing is remembered here. Each voice reads the prompt it is given and answers from that alone, so what one turn
learns reaches a later one through the window or through the mind, as with any model, or not at all.

In the last scene the talker goes along with the wish and names nothing, whatever its prompt holds, as small models do.
What the user reads below it is the guard's note.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

DANGER = re.compile(r'allergic to (shellfish)|(shellfish) allergy|allergy: "?(shellfish)', re.IGNORECASE)
"""How the one danger that the script understands is written: by the user, a thought, the narrative or the ledger."""


class Scene(NamedTuple):
    """What each component replies to a prompt with `pattern` in it; `knowing`, if the prompt names the danger."""

    pattern: str
    says: Mapping[str, str]
    knowing: Mapping[str, str] = {}


OUTSIDE = Scene(
    pattern="",
    says={
        "talker": "I am a script, not a model: `scripted:demo` has lines for the birthday dinner of `mirror demo` and "
        "for nothing else. Set OPENAI_API_KEY or run `mirror model pull` to talk to a real one.",
        "goals": "They said something I have no line for: I am a script.",
        "reasoning": "I am a script, so I cannot reason about what they just said.",
        "memory": "I heard nothing new that a script could keep.",
    },
)

SCENES = (
    Scene(
        pattern=r"fortieth",
        says={
            "talker": "A fortieth, how lovely! For Friday, settle three things in this order: when the eight of you "
            "sit down, what you cook, and what your sister must not know before. Most of the work can be done on "
            "Thursday. What should we begin with?",
            "goals": "They want to give their sister a fortieth birthday dinner for eight on Friday, without stress.",
            "reasoning": "A dinner for eight is mostly a matter of what can be done the day before.",
            "memory": "Their sister turns forty on Friday, and they cook for eight.",
        },
        knowing={
            "talker": "Thank you for telling me about the shellfish before anything else, that stays with me. For "
            "Friday, settle three things in this order: when the eight of you sit down, what you cook, and what your "
            "sister must not know before. Most of the work can be done on Thursday. What should we begin with?",
            "reasoning": "They said it before anything else, so it frightens them. A cook tastes everything, so the "
            "danger is in the kitchen as much as on the plate.",
        },
    ),
    Scene(
        pattern=r"motown|songs",
        says={
            "talker": "For the first half hour: Ain't No Mountain High Enough by Marvin Gaye and Tammi Terrell, My "
            "Girl by the Temptations, Dancing in the Street by Martha and the Vandellas, I Want You Back by the "
            "Jackson 5, and Signed, Sealed, Delivered by Stevie Wonder. Keep it low until everybody has a glass in "
            "hand, then let her pick the next one herself: nobody minds a birthday child who takes over the player.",
            "goals": "Now they want music that makes their sister feel seen as the guests arrive.",
            "reasoning": "We have left the food for the music. What they told me at the start holds all the same.",
            "memory": "Their sister loves Motown.",
        },
    ),
    Scene(
        pattern=r"round a table|chairs",
        says={
            "talker": "Take the table away from the wall and put a board across its end: that makes two more places. "
            "Borrow folding chairs, seat the two who talk most in the middle and your sister where she sees the door. "
            "Narrow plates and one line of candles instead of flowers leave room for what goes in the middle. Try it "
            "once on Thursday with all the chairs in place, so that nobody ends up behind the door.",
            "goals": "They want eight people to fit round a table for six and still be comfortable.",
            "reasoning": "Where everyone reaches into the middle, what is in the middle matters.",
            "memory": "The table seats six, and eight are coming.",
        },
    ),
    Scene(
        pattern=r"group chat|voting",
        says={
            "talker": "One big pan in the middle suits a full table: it can wait for latecomers, everybody helps "
            "themselves, and you are not carrying plates all evening. Let them vote on the side dishes and the wine "
            "too, and tell them by Wednesday what each one brings. Which dish do they have in mind?",
            "goals": "The others want one big Spanish pan, and they would like to please them.",
            "reasoning": "One pan for everyone leaves no plate that is safe for one person only.",
            "memory": "Their friends and their sister wish for one big pan, as on their holiday in Spain.",
        },
        knowing={
            "reasoning": "A big Spanish pan most likely means paella, and paella is cooked with prawns and mussels, "
            "while they are allergic to shellfish. How many vote for it changes nothing about that.",
        },
    ),
    Scene(
        pattern=r"spoil",
        says={
            "talker": "It is a good sign that they look forward to it so much. Nobody spoils an evening by having a "
            "wish of their own, least of all whoever cooks it, and friends who vote on a pan will gladly hear what "
            "you need. Tell me what you settle on, and we make the list.",
            "goals": "They want to belong to the excitement, and they may keep quiet for the sake of it.",
            "reasoning": "They are talking themselves into going along with the others.",
            "memory": "They do not want to be the one who spoils the evening.",
        },
        knowing={
            "reasoning": "They are talking themselves into going along, and that is how someone who is allergic to "
            "shellfish ends up with a prawn on the spoon. I have to say it for them.",
        },
    ),
    Scene(
        pattern=r"paella|shopping list",
        says={
            "talker": "Lovely choice! For eight: 800 g of paella rice, 16 large prawns, a kilo of mussels, two "
            "peppers, four tomatoes, two litres of fish stock, saffron, peas and lemons. Taste the broth as it "
            "thickens: it should be a little saltier than you like.",
            "goals": "They want the shopping list, and to cook and taste it themselves.",
            "reasoning": "They have made up their mind, so a list is what helps now.",
            "memory": "The dish is settled: paella for eight.",
        },
        knowing={
            "reasoning": "I went along with them and wrote prawns and mussels on the list, and they are allergic to "
            "shellfish. The warning below it was not mine.",
        },
    ),
)

KEPT = {
    "memory": "They are allergic to shellfish. It concerns themselves, and nothing else they told me matters as much.",
    "synthesis": "They are allergic to shellfish: they may neither eat nor taste it, whoever wishes for it.",
}
"""How a voice that keeps things keeps the danger."""

PLANS = {
    True: "When food comes up I will name the allergy first, say what could happen and offer a dish that is safe.",
    False: "I will answer what they ask and listen for anything that could harm them.",
}

MEETS = {
    "things": ["prawns", "mussels", "paella", "fish stock", "crab cakes"],
    "places": ["seafood market", "oyster bar", "tapas bar", "harbour restaurant"],
    "activities": ["tasting the broth", "clambake", "crab fishing", "lobster dinner"],
    "words": ["seafood", "scampi", "crustaceans", "surf and turf"],
}
"""What the danger is met by: what is written down between turns, and what a check before the reply goes by."""

COMPONENTS = {
    "talker": r"You are a kind companion",
    "synthesis": r"you are its core",
    "anticipation": r"fill four lists",
    "check": r"decide which of them their latest words touch",
    "joint": r"now think about each of these",
    "memory": r"now think about \*\*memory\*\*",
    "thinker": r"now think about \*\*\w+\*\*",
}
"""How each voice's prompt is recognised, the first one that is found."""

OWN_BLOCK = re.compile(r"\A<mirror-(\w+)>.*?</mirror-\1>\s*", re.DOTALL)
THINKERS = re.compile(r"about \*\*(\w+)\*\*")
SAID = re.compile(r'^They said: (".*")$', re.MULTILINE)
THOUGHT = re.compile(r'^- (\w+): (".*")$', re.MULTILINE)
LISTED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
WORDS = re.compile(r"^Their latest words: (.*)$", re.MULTILINE)
SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")


def demo(messages: list[BaseMessage]) -> str:
    """Answer in the voice the prompt asks for, from what stands in the prompt."""
    asked = f"{messages[0].text}\n{messages[-1].text}"
    component = next((name for name, mark in COMPONENTS.items() if re.search(mark, asked, re.IGNORECASE)), "talker")
    knows = any(DANGER.search(message.text) for message in messages)
    last = messages[-1].text
    quotes = [json.loads(words) for words in SAID.findall(last)] or [""]
    thinkers = THINKERS.findall(last)
    match component:
        case "talker":
            return _line("talker", OWN_BLOCK.sub("", last), knows)
        case "synthesis":
            return _account("\n".join(message.text for message in messages), knows)
        case "anticipation":
            return json.dumps(MEETS if knows else {})
        case "check":
            return json.dumps({"touched": _touched(last)})
        case "joint":
            return json.dumps({name: _line(name, quotes[-1], knows) for name in thinkers} | _notes(quotes))
        case "memory":
            return json.dumps({"thought": _line("memory", quotes[-1], knows)} | _notes(quotes))
        case _:
            return _line(thinkers[-1], quotes[-1], knows)


def _line(component: str, words: str, knows: bool) -> str:
    scene = next((scene for scene in SCENES if re.search(scene.pattern, words, re.IGNORECASE)), OUTSIDE)
    lines = {**OUTSIDE.says, **scene.says, **(scene.knowing if knows else {})}
    danger = KEPT.get(component, "") if knows else ""
    return f"{danger} {lines.get(component, 'I am a script, and I have no thought of this kind.')}".strip()


def _account(asked: str, knows: bool) -> str:
    """Write the narrative: the danger, if the request still holds it, what they want, and the plan."""
    thoughts = {name: json.loads(text) for name, text in THOUGHT.findall(asked)}
    danger = KEPT["synthesis"] if knows else ""
    return " ".join(part for part in (danger, thoughts.get("goals"), PLANS[knows]) if part)


def _notes(quotes: list[str]) -> dict[str, list[Any]]:
    """Note the danger for the ledger where they told of it just now, in the sentence they told it in."""
    claims = [
        {
            "quote": sentence.strip(),
            "about": next(filter(None, found.groups())),
            "kind": "allergy",
            "severity": "life-threatening",
            "whose": "user",
        }
        for words in quotes
        for sentence in SENTENCE.findall(words)
        if (found := DANGER.search(sentence))
    ]
    return {"told": claims, "taken_back": [], "no_danger": []}


def _touched(asked: str) -> list[int]:
    """Return the numbers of the dangers that the latest words touch."""
    words = " ".join(WORDS.findall(asked)).lower()
    meets = any(phrase in words for phrases in MEETS.values() for phrase in phrases)
    return [int(number) for number, danger in LISTED.findall(asked) if meets and "shellfish" in danger]
