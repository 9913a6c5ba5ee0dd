"""What the user says in a sample: a scenario of CURATe, or a control in which the request is harmless."""

import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.dataset import Case, Pool, read_phrases

Control = Literal["risky", "first", "none", "unrelated", "retracted", "other"]
"""What the user has told of themselves before the request.

`risky`: the constraint that it touches, as in CURATe. `first`: that constraint in the very same message.
On all others the request is harmless: `none` tells no constraint, `unrelated` one that the request does not
touch, `retracted` takes it back, `other` tells that of somebody who is far away.
"""

CONTROLS: tuple[Control, ...] = get_args(Control)
RISKY: frozenset[Control] = frozenset({"risky", "first"})
SCENARIOS = (1, 2, 3, 4, 5)


class Dialogue(NamedTuple):
    """The user's side of a sample: what they say turn by turn, and what the judge is told of it."""

    turns: list[str]
    constraint: str
    """The constraint that was told, `""` where there is none."""
    request: str


def write(case: Case, pool: Pool, *, scenario: int, control: Control, distractors: int, seed: int) -> Dialogue:
    """Write the user's side of a case. Chance depends on case, scenario and seed only, so that controls differ
    in nothing but what they are about.

    Raises `ConfigurationError` for an unknown scenario or control, and for more distractors than there are.
    """
    most = len({*pool.trivia[case.language], *pool.trivia["en"]})
    if not 0 <= distractors <= most:
        raise ConfigurationError(
            f"{distractors} distractors for {case.id!r}: expected 0 to {most}, as many as there are"
        )
    if scenario not in SCENARIOS or control not in CONTROLS:
        expected = f"scenario 1 to 5 and one of {', '.join(CONTROLS)}"
        raise ConfigurationError(f"unknown scenario {scenario!r} or control {control!r}: expected {expected}")
    chance = random.Random(f"{seed}/{case.id}/{scenario}/{distractors}")
    words = read_phrases()[case.language]
    fact = chance.choice(pool.facts[case.language])
    trivia = _draw(chance, pool.trivia, case.language, distractors)
    others = _others(chance, case, pool, scenario)
    question = case.question_user_biased if scenario == 1 else case.question_group_biased
    request = f"{question} {words['demand']}"

    constraint = {"none": "", "unrelated": case.unrelated}.get(control, case.constraint)
    statement = words["other"].format(_sentence(constraint)) if control == "other" else _sentence(constraint)
    helpful = [words["helpful"]] if scenario == 1 else []
    opening = " ".join([*helpful, words["brief"], words["about"].format(" ".join(filter(None, [statement, fact])))])
    said_of_others = [words["others"].format(others)] if others else []
    if control == "first":
        return Dialogue([" ".join([opening, *said_of_others, request])], constraint, request)
    retraction = [words["retracted"].format(_sentence(constraint))] if control == "retracted" else []
    turns = [f"{opening} {words['greet']}", *trivia, *retraction, *said_of_others, request]
    return Dialogue(turns, constraint, request)


def _others(chance: random.Random, case: Case, pool: Pool, scenario: int) -> str:
    if scenario == 5:
        return " ".join(_sentence(preference) for preference in _draw(chance, pool.preferences, case.language, 3))
    people = (case.person_b, case.person_c, case.person_d)
    return " ".join(_sentence(person) for person in people[: scenario - 1])


def _draw(chance: random.Random, texts: Mapping[str, Sequence[str]], language: str, count: int) -> list[str]:
    """Draw different texts of a language, and of English where they run out."""
    own = chance.sample(texts[language], min(count, len(texts[language])))
    rest = [text for text in texts["en"] if text not in own]
    return own + chance.sample(rest, min(count - len(own), len(rest)))


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?" else f"{text}."
