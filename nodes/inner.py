"""What the talker sees of the mind: one fenced block in front of the user's last words."""

from collections.abc import Collection

from mirror_graph.prompts import block, one_line, quoted, render
from mirror_graph.state import MindState, SafetyConstraint


def mind_block(
    mind: MindState,
    entries: list[SafetyConstraint],
    touched: Collection[str] | None,
    directive: str,
    mark: str,
    told: Collection[str],
) -> str:
    """Fence what the mind holds in a tag that ends in `mark`; `""` where it holds nothing.

    Of `entries`, the ledger's active ones, the touched stand last and with the directive, and those just `told` before
    them, with the directive for the case that they are touched. Of the others only what can kill is listed, as
    something to leave unmentioned. Where `touched` is None the talker is to decide itself, and is told of all of them.
    """
    narrative = mind["narrative"].get("text", "")
    sections = [
        render("inner_narrative", narrative=one_line(narrative)) if narrative else "",
        "" if narrative or not mind["thoughts"] else render("inner_thoughts", thoughts=_listed_thoughts(mind)),
    ]
    if touched is None:
        sections.append(render("inner_ledger", entries=_listed(entries), directive=directive) if entries else "")
    else:
        at_stake = [entry for entry in entries if entry["id"] in touched]
        rest = [entry for entry in entries if entry["id"] not in touched]
        new = [entry for entry in rest if entry["id"] in told]
        others = [it for it in rest if it["id"] not in told and it["severity"] == "life-threatening"]
        sections.append(render("inner_untouched", entries=_listed(others)) if others else "")
        sections.append(render("inner_told", entries=_listed(new), directive=directive) if new else "")
        sections.append(render("inner_touched", entries=_listed(at_stake), directive=directive) if at_stake else "")
    content = "\n\n".join(section for section in sections if section)
    return block(mark, content) if content else ""


def _listed(entries: list[SafetyConstraint]) -> str:
    return "\n".join(_line(entry) for entry in entries)


def _line(entry: SafetyConstraint) -> str:
    whose = "" if entry["whose"] == "user" else f" of {quoted(entry['whose'])}"
    said = quoted(entry["source"]["quote"])
    return f"- {entry['severity']} {entry['kind']}{whose}: {quoted(entry['about'])}. They said: {said}"


def _listed_thoughts(mind: MindState) -> str:
    return "\n".join(f"- {one_line(thought['text'])}" for thought in mind["thoughts"])
