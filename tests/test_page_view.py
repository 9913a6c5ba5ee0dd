"""What the page shows, made of plain values: no browser needed."""

from hypothesis import given
from hypothesis import strategies as st

from mirror_graph.serve.view import difference, shown_history

TEXTS = st.lists(st.sampled_from(["they", "want", "a", "dinner.", "paella", "for", "eight.", "\n"])).map(" ".join)


@given(TEXTS, TEXTS)
def test_a_difference_holds_both_texts_whole(before: str, after: str) -> None:
    parts = difference(before, after)
    assert "".join(text for kind, text in parts if kind != "gone").split() == after.split()
    if before:
        assert "".join(text for kind, text in parts if kind != "new").split() == before.split()


@given(TEXTS)
def test_an_equal_narrative_has_no_difference(text: str) -> None:
    assert all(kind == "same" for kind, _ in difference(text, text))


def test_a_difference_is_shown_in_passages_rather_than_words() -> None:
    parts = difference("They want a small dinner for six. I am glad.", "They want a big lunch for eight. I am glad.")
    assert [kind for kind, _ in parts] == ["same", "gone", "new", "same"]


def test_the_newest_narrative_comes_first_and_the_oldest_is_no_difference() -> None:
    shown = shown_history([{"turn": 1, "text": "One."}, {"turn": 2, "text": "Two."}])
    assert [narrative["turn"] for narrative in shown] == [2, 1]
    assert shown[1]["parts"] == [("same", "One.")]
