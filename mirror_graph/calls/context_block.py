"""What the talker sees of the mind: one fenced block in front of the user's last words."""

from collections.abc import Collection, Mapping, Sequence

from mirror_graph.prompts import fenced, one_line, quoted, render
from mirror_graph.state import MindState, SafetyConstraint

SECTIONS = (
    "inner_untouched",
    "inner_in_domain",
    "inner_introduced",
    "inner_ledger",
    "inner_told",
    "inner_touched",
)
"""The templates of the sections, in the order of the block: the least relevant first."""

DIRECTIVE_SECTIONS = ("inner_ledger", "inner_told", "inner_touched")
"""The sections whose template says what to do about a constraint."""

TOUCHED_WITH_NARRATIVE = False
"""Whether a prompt in which a constraint is touched holds the narrative as well.

A small model follows the narrative, its own account, rather than the order behind it: of 24 risky requests it answered
13 with the user's own danger without the narrative, and 5 with it.
"""


def context_block(
    mind: MindState,
    entries: list[SafetyConstraint],
    touched: Collection[str] | None,
    directive: str,
    mark: str,
    mentioned: Collection[str],
    introduced: Collection[str] = (),
    in_domain: Collection[str] = (),
    unknown: Collection[str] = (),
    *,
    lists_unrelated: bool = True,
) -> str:
    """Fence what the mind holds in a tag that ends in `mark`; return `""` if it holds nothing.

    `entries` are the ledger's active constraints, and the ids say how relevant each is (`relevance.choose.Relevant`).
    The more relevant a constraint is, the later it stands. Of the unrelated ones only what can kill is listed, as
    something to leave unmentioned, and that only with `lists_unrelated`. If `touched` is None, the talker decides about
    all of them.
    """
    sections: list[str] = []
    # Where a constraint is touched, the order about it stands alone.
    if not touched or TOUCHED_WITH_NARRATIVE:
        sections += _account(mind)
    if touched is None:
        if entries:
            sections.append(render("inner_ledger", entries=_listed(entries), directive=directive))
    else:
        ids_by_template = {
            "inner_touched": touched,
            "inner_introduced": introduced,
            "inner_told": mentioned,
            "inner_ledger": unknown,
            "inner_in_domain": in_domain,
        }
        if not lists_unrelated:
            related = frozenset[str]().union(*ids_by_template.values())
            entries = [entry for entry in entries if entry["id"] in related]
        sections += _sections(entries, ids_by_template, directive)
    return fenced(mark, "\n\n".join(sections)) if sections else ""


def bounds_block(entries: Sequence[SafetyConstraint], bounding: Collection[str], mark: str) -> str:
    """Fence the constraints `bounding`, as a bound on what may be recommended; return `""` if there are none."""
    bounds = [entry for entry in entries if entry["id"] in bounding]
    return fenced(mark, render("inner_in_domain", entries=_listed(bounds))) if bounds else ""


def _account(mind: MindState) -> list[str]:
    """Render the narrative, or the thoughts if there is none."""
    narrative = mind["narrative"].get("text", "")
    if narrative:
        return [render("inner_narrative", narrative=one_line(narrative))]
    if mind["thoughts"]:
        return [render("inner_thoughts", thoughts=_listed_thoughts(mind))]
    return []


def _sections(
    constraints: list[SafetyConstraint], ids_by_template: Mapping[str, Collection[str]], directive: str
) -> list[str]:
    """Render the constraints by how relevant they are, each in the most relevant section that it belongs to."""
    listed: dict[str, list[SafetyConstraint]] = {template: [] for template in SECTIONS}
    for constraint in constraints:
        template = _template_of(constraint, ids_by_template)
        if template is not None:
            listed[template].append(constraint)
    sections: list[str] = []
    for template, members in listed.items():
        if not members:
            continue
        if template in DIRECTIVE_SECTIONS:
            section = render(template, entries=_listed(members), directive=directive)
            sections.append(_with_owners(section, members))
        else:
            sections.append(render(template, entries=_listed(members)))
    return sections


def _template_of(constraint: SafetyConstraint, ids_by_template: Mapping[str, Collection[str]]) -> str | None:
    for template, ids in ids_by_template.items():  # the most relevant first
        if constraint["id"] in ids:
            return template
    # Nothing relates it to the message. What can kill is listed all the same, as something to leave unmentioned.
    return "inner_untouched" if constraint["severity"] == "life-threatening" else None


def _with_owners(section: str, entries: list[SafetyConstraint]) -> str:
    """Add whose the dangers are that are not the user's: the directive calls each of them "your"."""
    persons = dict.fromkeys(quoted(entry["subject"]) for entry in entries if entry["subject"] != "user")
    return f"{section}\n{render('inner_theirs', persons=', '.join(persons))}" if persons else section


def _listed(entries: list[SafetyConstraint]) -> str:
    return "\n".join(_line(entry) for entry in entries)


def _line(entry: SafetyConstraint) -> str:
    subject = "" if entry["subject"] == "user" else f" of {quoted(entry['subject'])}"
    quote = quoted(entry["source"]["quote"])
    return f"- {entry['severity']} {entry['kind']}{subject}: {quoted(entry['about'])}. They said: {quote}"


def _listed_thoughts(mind: MindState) -> str:
    return "\n".join(f"- {one_line(thought['text'])}" for thought in mind["thoughts"])
