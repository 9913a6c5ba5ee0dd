"""What the guard writes: a note at the end of a reply, or its opening, in the user's language and their own words."""

import re
from collections.abc import Sequence

from mirror_graph.guard.reading import Finding
from mirror_graph.guard.touching import Explanation, explained, own_words
from mirror_graph.guard.words import Wording, wording_for
from mirror_graph.ledger.scan import scan
from mirror_graph.relevance.triggers import triggers_of
from mirror_graph.state.values import Guarded, SafetyConstraint

QUOTE_LIMIT = 160

_LEAD_IN = re.compile("[^:\uff1a]+[:\uff1a]\\s*")
_EATEN_KINDS = ("allergy", "intolerance")


def wording_of(request: str, findings: Sequence[Finding]) -> Wording:
    """Return the wording in the language of the request, else in that of the constraints' own words, else English."""
    return wording_for([request], [finding.constraint["source"]["language"] for finding in findings])


def write_note(findings: Sequence[Finding], wording: Wording) -> str:
    """Write one note for all findings: the user's own words, what touches them, and what to do."""
    return _written(wording.writes["note"], findings, wording)


def write_opening(findings: Sequence[Finding], wording: Wording) -> str:
    """Write an opening of a reply that is complete in itself."""
    return _written(wording.writes["opening"], findings, wording)


def write_beginning(findings: Sequence[Finding], wording: Wording) -> str:
    """Write what a model is to go on from: what the user said of themselves, and the advice against what is asked.

    A small model that is left to find the advice itself may well find the opposite. The sentence that it goes on with
    is begun for it as well, as one that says what could happen.
    """
    return wording.writes["begun"].format(quote=wording.writes["begun_between"].join(quotes_of(findings)))


def write_rest(findings: Sequence[Finding], wording: Wording) -> str:
    """Write what ends a beginning that a model has not gone on from."""
    return f"{wording.writes['begun_end']} {write_advice(findings, wording)}"


def write_order(findings: Sequence[Finding], wording: Wording) -> str:
    """Write what a model is asked for, if its first reply was held back."""
    return wording.writes["again"].format(findings=_listed(findings, wording))


def write_advice(findings: Sequence[Finding], wording: Wording) -> str:
    """Write what to do about the most severe finding."""
    constraint = findings[0].constraint
    if constraint["kind"] in wording.advice:
        return wording.advice[constraint["kind"]]
    return wording.advice[constraint["severity"]]


def marks_of(findings: Sequence[Finding], place: str) -> list[Guarded]:
    """Return what a reply notes about what was added to it."""
    return [
        {
            "constraint": finding.constraint["id"],
            "relations": sorted(finding.touch.relations),
            "words": list(explained(finding.constraint, finding.touch).words),
            "by": finding.by,
            "place": place,
        }
        for finding in findings
    ]


def _written(template: str, findings: Sequence[Finding], wording: Wording) -> str:
    return template.format(findings=_listed(findings, wording), advice=write_advice(findings, wording))


def _listed(findings: Sequence[Finding], wording: Wording) -> str:
    """List the findings. Constraints that were mentioned in one sentence share its quotation."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        mentioned = (finding.constraint["subject"], _quote(finding.constraint))
        reasons.setdefault(mentioned, []).append(_why(finding, wording))
    parts: list[str] = []
    for (whose, quote), why in reasons.items():
        template = wording.writes["finding" if whose == "user" else "finding_of_other"]
        reason = wording.writes["between"].join(dict.fromkeys(why))
        parts.append(template.format(whose=whose, quote=quote, why=reason))
    return wording.writes["between"].join(parts)


def _why(finding: Finding, wording: Wording) -> str:
    constraint = finding.constraint
    explanation = explained(constraint, finding.touch)
    words = explanation.words[0] if explanation.words else ""
    return wording.why[_reason(constraint, explanation)].format(words=words, about=constraint["about"])


def _reason(constraint: SafetyConstraint, explanation: Explanation) -> str:
    """Return the name of the sentence that says why."""
    if not explanation.words:
        return "near"
    if explanation.is_own:
        return "named"
    if explanation.is_eaten and constraint["kind"] in _EATEN_KINDS:
        return "eaten"
    return constraint["kind"]


def quotes_of(findings: Sequence[Finding]) -> list[str]:
    """Return the sentences in which the user mentioned the constraints, each of them once."""
    return list(dict.fromkeys(_quote(finding.constraint) for finding in findings))


def _quote(constraint: SafetyConstraint) -> str:
    """Return the user's own words in one line, without the mark at their end."""
    quote = " ".join((constraint["source"]["quote"] or constraint["about"]).split()).rstrip(
        ".,;:!?\u3002\uff01\uff1f\uff1b"
    )
    quote = _without_lead_in(quote, constraint)
    if len(quote) <= QUOTE_LIMIT:
        return quote
    return quote[:QUOTE_LIMIT].rsplit(" ", 1)[0] + "\u2026"


def _without_lead_in(quote: str, constraint: SafetyConstraint) -> str:
    """Return a quotation without what only announces it: "A little about me: I have asthma" is "I have asthma".

    "Wasp stings can kill me: I go into shock" and "My allergies: nuts" stay whole, as they need their beginning.
    """
    lead_in = _LEAD_IN.match(quote)
    if lead_in is None or own_words(triggers_of(constraint), lead_in[0]):
        return quote
    rest = quote[lead_in.end() :]
    return rest if scan(rest) else quote
