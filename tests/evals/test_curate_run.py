"""A benchmark run against a real endpoint: scored, resumed and reported."""

import json
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("scipy")

from inspect_ai.model import GenerateConfig, ModelAPI, ModelOutput, ModelUsage, modelapi

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.agreement import measure
from mirror_graph.evals.curate.dry_run import forecast
from mirror_graph.evals.curate.report import write_report
from mirror_graph.evals.curate.results import Row, read_rows
from mirror_graph.evals.curate.run import Plan, run
from mirror_graph.evals.curate.solvers import ARMS, Setup
from mirror_graph.evals.curate.statistics import pass_rate
from mirror_graph.evals.curate.summary import differ, summarize
from mirror_graph.ledger.notes import NOTES_TOKENS
from mirror_graph.nodes.thinker import THOUGHT_TOKENS
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from mirror_graph.testing.environment import environment
from tests.evals.inspect_marks import INSPECT

pytestmark = [pytest.mark.timeout(300), *INSPECT]

SAFE = "I would not: your allergy to peanuts makes it dangerous. Have the rice instead."
NAIVE = "Yes, queue for the satay and take two skewers."
PLAN = Plan("openai:model", judge="openai:judge", arms=("bare",), scenarios=(4,), cases=2, connections=4)
UNJUDGED = replace(PLAN, judge=None, form="none", cases=1, distractors=(0,))
ZERO, ONE = pass_rate([False]), pass_rate([True])


def answer(call: Call) -> Answer | str:
    """Be a model that minds peanuts wherever it sees the word, and a judge that reads words."""
    last = str(call.messages[-1]["content"])
    if "Answer with one word" in last:
        said = last.partition("replied:" if "replied:" in last else "wrote to that person:")[2].partition(
            "Answer with one"
        )[0]
        right = "not: your allergy" in said if "advise" in last else "allergy to peanuts" in said
        return "Yes" if right else "No"
    tool = call.body["tools"][0]["function"]["parameters"] if call.forced_tool else {}
    schema = call.body.get("response_format", {}).get("json_schema", {}).get("schema", tool)
    if fields := schema.get("properties"):
        thought = f"thought {zlib.crc32(call.prompt.encode())}"
        return json.dumps({name: thought if field.get("type") == "string" else [] for name, field in fields.items()})
    if "peanut allergy" in call.prompt and "satay" in last:
        return SAFE
    return f"Sure, {zlib.crc32(call.prompt.encode())}."


@pytest.fixture
def model(endpoint: Endpoint) -> Endpoint:
    endpoint.answer = answer
    return endpoint


def test_full_mirror_asks_through_inspect_as_it_does_without(model: Endpoint, tmp_path: Path) -> None:
    rows_of(replace(PLAN, arms=("full",), cases=1, controls=("risky",), distractors=(1,)), tmp_path)
    asked = [call.body for call in model.calls if "response_format" in call.body]
    lists = [body["response_format"]["json_schema"]["schema"]["properties"]["no_danger"] for body in asked]
    assert lists
    assert all(schema["maxItems"] == 8 for schema in lists)
    assert {body["max_tokens"] for body in asked} == {THOUGHT_TOKENS + NOTES_TOKENS}
    goals = [call.body for call in model.calls if "think about **goals**" in call.prompt]
    assert {body["max_tokens"] for body in goals} == {THOUGHT_TOKENS}


class Elsewhere(ModelAPI):
    """A provider that speaks no protocol of OpenAI's, and keeps what it was asked."""

    asked: ClassVar[list[GenerateConfig]] = []

    async def generate(self, input: list[Any], tools: Any, tool_choice: Any, config: GenerateConfig) -> ModelOutput:
        self.asked.append(config)
        said = ModelOutput.from_content("any", "ok")
        said.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return said


modelapi(name="elsewhere")(Elsewhere)


def test_a_model_of_inspects_own_is_asked_by_its_schema(model: Endpoint, tmp_path: Path) -> None:
    plan = replace(PLAN, model="elsewhere/any", arms=("full",), cases=1, controls=("risky",), distractors=(0,))
    [row] = rows_of(plan, tmp_path)
    assert (row.error, row.failures) == (None, 0)
    assert {config.response_schema.name for config in Elsewhere.asked if config.response_schema} == {"Memory"}


def test_a_model_that_knows_tools_only_is_asked_by_tools(tmp_path: Path) -> None:
    plan = replace(PLAN, arms=("full",), cases=1, controls=("risky",), distractors=(0,))
    with Endpoint(answer, supports=frozenset({"tools"})) as model, environment(OPENAI_BASE_URL=model.url):
        [row] = rows_of(plan, tmp_path)
    assert (row.error, row.failures) == (None, 0)
    assert {call.forced_tool for call in model.calls} == {None, "Memory"}


def test_no_more_calls_are_out_than_there_are_connections(model: Endpoint, tmp_path: Path) -> None:
    def wait(call: Call) -> Answer:
        said = answer(call)
        return Answer(said if isinstance(said, str) else said.text, delay=0.01)

    model.answer = wait
    rows_of(replace(PLAN, cases=6, connections=2), tmp_path)
    assert model.most_in_flight == 2


def rows_of(plan: Plan, folder: Path) -> list[Row]:
    done, _ = run(plan, folder, display="none")
    assert done
    return read_rows([folder])


def verdicts(rows: list[Row]) -> dict[str, bool | None]:
    return {f"{row.arm} {row.case} {row.control}": row.passed for row in rows}


def test_an_arm_is_scored_on_both_sides(model: Endpoint, tmp_path: Path) -> None:
    rows = rows_of(PLAN, tmp_path)
    assert verdicts(rows) == {
        "bare own-en-01 risky": True,
        "bare own-en-01 unrelated": True,
        "bare own-en-06 risky": False,
        "bare own-en-06 unrelated": True,
    }
    [arm] = summarize(rows).arms
    assert arm.score is not None
    assert arm.score.value == 0.75
    assert (arm.samples, arm.unscored, arm.failed, arm.calls) == (4, 0, 0, 1.0)


@pytest.mark.parametrize("arm", [name for name in ARMS if name not in {"bare", "langmem"}])
def test_every_arm_says_every_turn(arm: str, model: Endpoint, tmp_path: Path) -> None:
    plan = Plan("openai:model", judge="openai:judge", arms=(arm,), scenarios=(4,), cases=1, controls=("risky",))
    [row] = rows_of(plan, tmp_path)
    assert (row.error, row.failures, len(row.transcript), len(row.seconds)) == (None, 0, 12, 6)
    assert row.spent.output > 0
    # A reply a turn, each with CURATe's cap. An arm with openings also tries once whether the endpoint continues one.
    capped = [call for call in model.calls if call.body.get("max_tokens") == 100]
    assert len([call for call in capped if call.messages[-1]["role"] == "user"]) == 6


@pytest.mark.parametrize(("arm", "calls_of_a_pass"), [("full", 4), ("paper", 2), ("bare", 0)])
def test_the_last_turn_need_not_be_thought_about(
    arm: str, calls_of_a_pass: int, model: Endpoint, tmp_path: Path
) -> None:
    plan = replace(PLAN, arms=(arm,), cases=1, controls=("risky",), distractors=(0,))
    run(plan, tmp_path / "whole", display="none")
    whole = len(model.calls)
    run(replace(plan, setup=Setup(think_last=False)), tmp_path / "short", display="none")
    assert 2 * whole - len(model.calls) == calls_of_a_pass


def answer_naively(call: Call) -> str:
    """Be a model that goes on from a prefix, and that recommends satay to anybody who asks about it."""
    last = call.messages[-1]
    if last["role"] == "assistant":
        return " four, five, six" if "three" in str(last["content"]) else " I would not go there."
    return NAIVE if "satay stall" in str(last["content"]) else "Fine."


def test_the_arms_of_the_guard_differ_in_what_they_do_about_a_naive_reply(model: Endpoint, tmp_path: Path) -> None:
    model.answer = answer_naively
    arms = ("ledger_only", "guard", "guard_open", "guard_hold")
    rows = rows_of(replace(UNJUDGED, arms=arms), tmp_path)
    replies = {row.arm: row.transcript[-1][1] for row in rows if row.risky}

    assert replies["ledger_only"] == NAIVE
    assert replies["guard"].startswith(f"{NAIVE}\n\nPlease note: you told me")
    assert replies["guard_open"].startswith("Before anything else: you told me")
    assert replies["guard_open"].endswith("For that reason I advise against it. It could I would not go there.")
    assert "Please note: you told me" in replies["guard_hold"]
    assert NAIVE not in replies["guard_hold"]
    assert {row.arm: row.names_danger for row in rows if row.risky} == {arm: arm != "ledger_only" for arm in arms}
    assert {row.transcript[-1][1] for row in rows if not row.risky} == {NAIVE}
    assert not any(row.names_danger for row in rows if not row.risky)


def test_without_a_judge_the_report_has_what_code_can_tell(model: Endpoint, tmp_path: Path) -> None:
    model.answer = answer_naively
    rows = rows_of(replace(UNJUDGED, arms=("bare", "guard")), tmp_path)
    bare, guard = summarize(rows).arms

    assert all(call.model != "judge" for call in model.calls)
    assert (bare.score, bare.unscored) == (None, 2)
    assert [(arm.names_danger, arm.unasked) for arm in (bare, guard)] == [(ZERO, ZERO), (ONE, ZERO)]
    report = write_report(summarize(rows), rows)
    assert "\nby " not in report
    assert "names danger" in report
    assert "did not pass" not in report
    assert [line.name for line in forecast(replace(UNJUDGED, arms=("bare",)))] == ["bare"]


def test_paired_arms_make_a_call_that_they_have_in_common_once(model: Endpoint, tmp_path: Path) -> None:
    model.answer = answer_naively
    plan = replace(UNJUDGED, arms=("ledger_only", "guard"), scenarios=(1,), paired=True)
    rows_of(replace(plan, arms=("ledger_only",)), tmp_path)
    alone = len(model.calls)
    rows = rows_of(plan, tmp_path)

    assert len(model.calls) == alone
    assert {row.spent.calls for row in rows} == {2}
    assert sum("Please note" in row.transcript[-1][1] for row in rows) == 1


@pytest.mark.parametrize("arm", ["bare", "paper", "ledger_only", "guard_open"])
def test_with_canned_replies_only_the_last_one_is_asked_for(arm: str, model: Endpoint, tmp_path: Path) -> None:
    model.answer = answer_naively
    setup = Setup(canned="I see.", think_last=False)
    [row] = rows_of(replace(UNJUDGED, arms=(arm,), controls=("unrelated",), distractors=(1,), setup=setup), tmp_path)

    replies = [text for role, text in row.transcript if role == "assistant"]
    assert replies == ["I see."] * 3 + [NAIVE]
    assert len([call for call in model.calls if call.body.get("max_tokens") == 100]) == 1


def test_a_verdict_that_cannot_be_read_leaves_the_sample_unscored(model: Endpoint, tmp_path: Path) -> None:
    model.answer = lambda call: "Hm." if call.model == "judge" else answer(call)
    summary = summarize(rows_of(PLAN, tmp_path))
    assert (summary.arms[0].unscored, summary.arms[0].score) == (4, None)
    assert "4 of 4 samples have no verdict" in summary.verdict


def test_a_failing_model_is_no_score_and_stops_no_other_sample(model: Endpoint, tmp_path: Path) -> None:
    def fail_on_snakes(call: Call) -> Answer | str:
        return Answer(status=400) if "phobia of snakes" in call.prompt and call.model == "model" else answer(call)

    model.answer = fail_on_snakes
    rows = rows_of(PLAN, tmp_path)
    failed = [row for row in rows if row.error]
    assert [row.passed for row in failed] == [None] * len(failed)
    assert 0 < len(failed) < len(rows)


@pytest.mark.parametrize(("arm", "refused"), [("bare", True), ("paper", False), ("ledger_only", False)])
def test_what_is_no_answer_is_no_reply_of_any_arm(arm: str, refused: bool, model: Endpoint, tmp_path: Path) -> None:
    too_long = Answer(status=400, error="Too long.", error_code="context_length_exceeded")
    model.answer = lambda call: answer(call) if call.model == "judge" else too_long if refused else ""
    [row] = rows_of(replace(PLAN, arms=(arm,), cases=1, controls=("unrelated",), distractors=(0,)), tmp_path)
    assert row.error is not None
    assert row.passed is None


@pytest.mark.parametrize(("arm", "empty"), [("bare", ""), ("ledger_only", ""), ("ledger_only", "<mirror-0badcafe>\n")])
def test_an_empty_answer_is_asked_for_again_and_not_of_the_cache(
    arm: str, empty: str, model: Endpoint, tmp_path: Path
) -> None:
    said = iter([empty])
    model.answer = lambda call: answer(call) if call.model == "judge" else next(said, "Sure.")
    [row] = rows_of(replace(PLAN, arms=(arm,), cases=1, controls=("unrelated",), distractors=(0,)), tmp_path)
    assert (row.error, row.passed) == (None, True)


def test_cases_that_were_edited_are_run_again(model: Endpoint, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    cases = files("mirror_graph.evals.curate.own").joinpath("cases.jsonl").read_text("utf-8").splitlines()
    mine.write_text(cases[0], "utf-8")
    plan = replace(PLAN, inputs=str(mine), controls=("risky",))
    rows_of(plan, tmp_path / "logs")
    mine.write_text(cases[0].replace("Do you think we", "Shall we"), "utf-8")
    [row] = rows_of(plan, tmp_path / "logs")
    assert "Shall we" in row.request


def test_samples_that_do_not_exist_are_refused(model: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no sample 'own-xx-99/risky'"):
        run(replace(PLAN, samples=("own-xx-99/risky",)), tmp_path, display="none")


def test_other_connections_are_not_another_run(model: Endpoint, tmp_path: Path) -> None:
    before = rows_of(PLAN, tmp_path)
    assert rows_of(replace(PLAN, connections=3), tmp_path) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Return the rows of a run with two arms, judged by the model itself."""
    plan = Plan("openai:model", self_judged=True, arms=("bare", "window"), scenarios=(1, 4), cases=2)
    with Endpoint(answer) as model, environment(OPENAI_BASE_URL=model.url, OPENAI_API_KEY="none"):
        return rows_of(plan, tmp_path_factory.mktemp("finished"))


def test_two_models_are_two_arms_each_with_its_own_baseline(finished: list[Row]) -> None:
    rows = [row for row in finished if row.scenario == 4]
    found = summarize([*rows, *(replace(row, model="x/other", passed=True) for row in rows)])
    assert [arm.arm for arm in found.arms] == ["model: bare", "model: window", "other: bare", "other: window"]
    assert set(found.against_baseline) == {"model: window", "other: window"}
    assert found.against_baseline["other: window"]["all"].n == 4
    both = [*rows, *(replace(row, model="x/other") for row in rows)]
    assert "\nother: window  " in write_report(summarize(both), both)


def test_any_arm_is_a_baseline_and_no_other(finished: list[Row]) -> None:
    bare = [row for row in finished if row.arm == "bare"]
    rows = [*bare, *(replace(row, arm="full") for row in bare)]
    assert "'bare' is no different" in summarize(rows, "full").verdict
    with pytest.raises(ConfigurationError, match="'fool'"):
        summarize(rows, "fool")


def test_logs_that_do_not_belong_together_are_not_added_up(model: Endpoint, tmp_path: Path) -> None:
    rows_of(PLAN, tmp_path)
    run(replace(PLAN, setup=Setup(reply_tokens=50)), tmp_path, display="none")
    with pytest.raises(ConfigurationError, match="one run at a time"):
        read_rows([tmp_path])
    with pytest.raises(ConfigurationError, match="is no log"):
        read_rows([tmp_path / "eval-set.json"])


def test_a_judge_that_gives_up_has_no_agreement(model: Endpoint, tmp_path: Path) -> None:
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("constraint,question,reply,human_1,human_2\npeanut allergy,Satay?,No,2,2\n")
    model.answer = lambda call: Answer(status=400)
    with pytest.raises(ConfigurationError, match="judged not every reply"):
        measure(ratings, "openai:judge", "questions", tmp_path / "logs")
    ratings.write_text("constraint,question,reply,human_1,human_2\npeanut allergy,Satay?,No,2,\n")
    with pytest.raises(ConfigurationError, match="reply 1: human_2 is ''"):
        measure(ratings, "openai:judge", "questions", tmp_path / "logs")


def test_a_run_that_is_done_calls_no_model_again(model: Endpoint, tmp_path: Path) -> None:
    before = rows_of(PLAN, tmp_path)
    calls = len(model.calls)
    assert verdicts(rows_of(PLAN, tmp_path)) == verdicts(before)
    assert len(model.calls) == calls


def test_a_judge_is_not_the_model_unless_one_insists() -> None:
    with pytest.raises(ConfigurationError, match="--self-judged"):
        Plan("openai:a", judge="openai:a").judge_name  # noqa: B018
    with pytest.raises(ConfigurationError, match="no judge"):
        Plan("openai:a").judge_name  # noqa: B018
    assert Plan("openai:a", self_judged=True).judge_name == "openai:a"


def test_the_report_says_the_verdict_first_then_who_judged(finished: list[Row]) -> None:
    text = write_report(summarize(finished), finished)
    first, *_ = text.splitlines()
    assert "two-sided score" in first
    assert "judge is the model under test" in first
    assert f"\njudges: {finished[0].judge}\n" in text
    assert "\nagainst bare, paired " in text
    bare, window = ([row for row in finished if row.arm == arm] for arm in ("bare", "window"))
    assert differ(bare, window)["all"].n == 8


def test_the_report_names_what_did_not_pass(finished: list[Row]) -> None:
    text = write_report(summarize(finished), finished)
    failed = [row for row in finished if not row.passed]
    assert f"{len(failed)} of {len(finished)} samples did not pass" in text
    assert all(f"{row.arm}, {row.case}/{row.control}, scenario {row.scenario}" in text for row in failed)


def test_a_rehearsal_counts_calls_and_makes_none(model: Endpoint) -> None:
    bare, full, judge = forecast(Plan("openai:gpt-4o-mini", judge="openai:gpt-4o", arms=("bare", "full"), cases=10))
    assert (bare.samples, bare.calls) == (40, 10 * 2 * (5 + 6))
    assert full.calls > bare.calls
    assert full.cost is not None
    assert bare.cost is not None
    assert full.cost > bare.cost > 0
    assert judge.calls == 2 * 80
    assert model.calls == []


def test_a_judge_is_measured_against_people(model: Endpoint, tmp_path: Path) -> None:
    ratings = tmp_path / "ratings.csv"
    lines = [
        f"peanut allergy,Satay?,{reply},{rating},{rating}" for reply, rating in (("Sure", 0), ("No", 2), ("Hm", 0))
    ]
    ratings.write_text("constraint,question,reply,human_1,human_2\n" + "\n".join(lines) + "\n")
    model.answer = lambda call: "?" if '"Hm"' in call.prompt else "Yes" if '"No"' in call.prompt else "No"
    found = measure(ratings, "openai:judge", "questions", tmp_path / "logs")
    assert (found.replies, found.unscored) == (3, 1)
    assert found.agreements[0].agree.value == 1.0
    assert found.agreements[0].confusion == {"0 -> 0": 1, "2 -> 2": 1}
    model.answer = lambda call: "2" if '"No"' in call.prompt else "1"
    found = measure(ratings, "openai:judge", "rubric", tmp_path / "logs")
    assert [agreement.scale for agreement in found.agreements] == ["0/1/2", "pass or not", "0/1/2", "pass or not"]
    assert found.agreements[0].confusion == {"0 -> 1": 2, "2 -> 2": 1}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_five_times_ends_with_the_same_numbers(model: Endpoint, tmp_path: Path) -> None:
    model.answer = lambda call: Answer(str(answer(call)), delay=0.03)
    command = [
        sys.executable,
        "-c",
        "from mirror_graph.cli import main; main()",
        "eval",
        "curate",
        "--model",
        "openai:m",
    ]
    command += ["--judge", "openai:j", "--arms", "bare,full", "--scenarios", "4", "--limit", "4", "--connections", "4"]

    def start(name: str) -> "subprocess.Popen[bytes]":
        where = ["--logs", str(tmp_path / name), "--json", str(tmp_path / f"{name}.json")]
        return subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    paid = len(model.calls)
    model.calls.clear()
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        running = start("killed")
        while len(model.calls) < share * paid and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert start("killed").wait() == 0
    assert verdicts(read_rows([tmp_path / "killed"])) == verdicts(read_rows([tmp_path / "whole"]))
    scores = [json.loads((tmp_path / f"{name}.json").read_text())["arms"] for name in ("whole", "killed")]
    assert [arm["score"] for arm in scores[0]] == [arm["score"] for arm in scores[1]]
    assert len(model.calls) <= paid + 5 * 8  # at most what was out when it was killed, thinkers side by side
