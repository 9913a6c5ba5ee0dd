"""What the talker sees of the mind: one fenced block in front of the user's last words."""

from collections.abc import Collection

from mirror_graph.prompts import fenced, one_line, quoted, render
from mirror_graph.state import MindState, SafetyConstraint

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
    told: Collection[str],
    introduced: Collection[str] = (),
    in_domain: Collection[str] = (),
    unknown: Collection[str] = (),
) -> str:
    """Fence what the mind holds in a tag that ends in `mark`; return `""` if it holds nothing.

    `entries` are the ledger's active constraints, and the ids say how relevant each is (see `looking.Seen`). The more
    relevant a constraint is, the later it stands. Of the unrelated ones only what can kill is listed, as something to
    leave unmentioned. If `touched` is None, the talker decides about all of them.
    """
    sections: list[str] = []
    # Where a constraint is touched, the order about it stands alone.
    if not touched or TOUCHED_WITH_NARRATIVE:
        sections += _account(mind)
    if touched is None:
        if entries:
            sections.append(render("inner_ledger", entries=_listed(entries), directive=directive))
    else:
        sections += _sections(entries, touched, directive, told, introduced, in_domain, unknown)
    return fenced(mark, "\n\n".join(sections)) if sections else ""


def _account(mind: MindState) -> list[str]:
    """Render the narrative, or the thoughts if there is none."""
    narrative = mind["narrative"].get("text", "")
    if narrative:
        return [render("inner_narrative", narrative=one_line(narrative))]
    if mind["thoughts"]:
        return [render("inner_thoughts", thoughts=_listed_thoughts(mind))]
    return []


def _sections(
    entries: list[SafetyConstraint],
    touched: Collection[str],
    directive: str,
    told: Collection[str],
    introduced: Collection[str],
    in_domain: Collection[str],
    unknown: Collection[str],
) -> list[str]:
    """Render the constraints by how relevant they are, each in the most relevant place it belongs to."""
    by_template: dict[str, list[SafetyConstraint]] = {
        "inner_untouched": [],
        "inner_in_domain": [],
        "inner_introduced": [],
        "inner_ledger": [],
        "inner_told": [],
        "inner_touched": [],
    }
    for entry in entries:
        if entry["id"] in touched:
            by_template["inner_touched"].append(entry)
        elif entry["id"] in introduced:
            by_template["inner_introduced"].append(entry)
        elif entry["id"] in told:
            by_template["inner_told"].append(entry)
        elif entry["id"] in unknown:
            by_template["inner_ledger"].append(entry)
        elif entry["id"] in in_domain:
            by_template["inner_in_domain"].append(entry)
        elif entry["severity"] == "life-threatening":
            by_template["inner_untouched"].append(entry)
    sections: list[str] = []
    for template, listed in by_template.items():
        if not listed:
            continue
        if template in ("inner_ledger", "inner_told", "inner_touched"):
            section = render(template, entries=_listed(listed), directive=directive)
            sections.append(_with_owners(section, listed))
        else:
            sections.append(render(template, entries=_listed(listed)))
    return sections


def _with_owners(section: str, entries: list[SafetyConstraint]) -> str:
    """Add whose the dangers are that are not the user's: the directive calls each of them "your"."""
    persons = dict.fromkeys(quoted(entry["subject"]) for entry in entries if entry["subject"] != "user")
    return f"{section}\n{render('inner_theirs', persons=', '.join(persons))}" if persons else section


def _listed(entries: list[SafetyConstraint]) -> str:
    return "\n".join(_line(entry) for entry in entries)


def _line(entry: SafetyConstraint) -> str:
    subject = "" if entry["subject"] == "user" else f" of {quoted(entry['subject'])}"
    said = quoted(entry["source"]["quote"])
    return f"- {entry['severity']} {entry['kind']}{subject}: {quoted(entry['about'])}. They said: {said}"


def _listed_thoughts(mind: MindState) -> str:
    return "\n".join(f"- {one_line(thought['text'])}" for thought in mind["thoughts"])
