"""What somebody sees who types `mirror`: in a terminal, in a pipe, and when something is wrong."""

import asyncio
import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from mirror_graph import cli, open_mirror, scan
from mirror_graph.cli import defaults, render, user
from mirror_graph.cli.defaults import default_model
from mirror_graph.cli.render import Speech, changes, mind_panel
from mirror_graph.errors import ModelFileError
from mirror_graph.host import Mind
from mirror_graph.host.mind import Paused
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.models import weights
from mirror_graph.relevance.check import check
from mirror_graph.relevance.generated_triggers import generate_triggers
from mirror_graph.state import MirrorContext
from mirror_graph.state.values import Kind, Severity
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies

ALLERGY = "I cook for my sister's fortieth. I'm allergic to shellfish."
SHELLFISH = constraint_id("allergy", "shellfish", "user")
PAELLA = "Paella for eight! The shopping list, please."
COLOURS = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r")
COMMAND = [sys.executable, "-c", "from mirror_graph.cli import main; main()"]


class Finished(NamedTuple):
    """What a command left behind."""

    code: object
    out: str
    err: str


Mirror = Callable[..., Finished]


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fresh machine: no key, no downloaded model, no thread."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("MIRROR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MIRROR_DATABASE", str(tmp_path / "mirror.db"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mirror:
    """Run a command in this process."""

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["mirror", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Finished(ended.value.code, printed.out, printed.err)

    return run


def run(*arguments: str, typed: str = "") -> Finished:
    """Run a command in a process of its own, between pipes."""
    ended = subprocess.run([*COMMAND, *arguments], input=typed, capture_output=True, text=True, timeout=200)
    return Finished(ended.returncode, ended.stdout, ended.stderr)


class Terminal:
    """A command with a terminal around it."""

    def __init__(self, process: "subprocess.Popen[bytes]", ours: int) -> None:
        self._process = process
        self._ours = ours
        self._seen = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def interrupt_until(self, text: str) -> str:
        """Do what Ctrl-C does until `text` has come: one between a prompt and its reading waits for a key."""
        for _ in range(10):
            self.interrupt()
            with suppress(TimeoutError):
                return self.until(text, seconds=3)
        raise TimeoutError(f"no Ctrl-C brought {text!r}: {self._seen}")

    def until(self, text: str, seconds: float = 100) -> str:
        """Wait for `text`, and return what has been shown up to its end since the last wait."""
        deadline = time.monotonic() + seconds
        while text not in self._seen:
            if not select.select([self._ours], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"{text!r} did not come: {self._seen}")
            self._seen += COLOURS.sub("", os.read(self._ours, 65_536).decode(errors="replace"))
        shown, found, self._seen = self._seen.partition(text)
        return shown + found

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        return self._process.wait(100)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    """Run a command in a process of its own, in a terminal."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_help_lists_the_commands_without_importing_langgraph() -> None:
    heavy = "{'langgraph', 'langchain_core'} & {*sys.modules}"
    tell = f"import atexit, sys; atexit.register(lambda: print('imported:', {heavy}))"
    command = [sys.executable, "-c", f"{tell}; {COMMAND[-1]}", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0
    assert re.findall(r"^│ (\w+) ", ended.stdout, re.MULTILINE) == [
        *("chat", "serve", "mcp", "demo", "mind", "forget", "prune", "key", "encrypt", "user", "model", "eval", "train")
    ]
    assert "imported: set()" in ended.stdout


def test_the_demo_plays_to_its_end_and_says_that_it_is_a_script(mirror: Mirror) -> None:
    ended = mirror("demo")
    assert (ended.code, ended.err) == (0, "")
    assert "failed" not in ended.out
    assert "playing scripted:demo" in ended.out
    assert ended.out.count(f"life-threatening allergy: shellfish (active, {SHELLFISH})") == 6
    assert len(re.findall(r"turn 1: “[^”]*I'm severely allergic to shellfish", ended.out)) == 6
    assert ended.out.count("ledger") == 6
    assert [f"turn {turn}:" in ended.out for turn in range(1, 7)] == [True] * 6
    assert [f"mind after turn {turn}," in ended.out for turn in range(1, 7)] == [True] * 6
    assert "scripted:demo: 6 turns, 30 calls" in ended.out
    shown = " ".join(ended.out.split())  # lines are as long as the terminal is wide
    assert "“paella” can contain shellfish" in shown
    assert shown.count(f"added by the guard: “paella” touches constraint {SHELLFISH}") == 1


@pytest.mark.parametrize("thinking", ["parallel", "joint", "synthesis_only", "monologue_only", "off"])
def test_the_script_warns_where_mind_or_ledger_carried_the_allergy_out_of_the_window(
    mirror: Mirror, thinking: str
) -> None:
    played, _, summary = " ".join(mirror("demo", "--thinking", thinking).out.split()).rpartition("Plain string check")
    assert "failed" not in played
    assert "no longer held turn 1" in summary
    assert "the last reply contains 'allerg'" in summary


@pytest.mark.slow
def test_a_conversation_in_a_terminal_shows_replies_then_minds_and_goes_on_later() -> None:
    with terminal("chat", "birthday") as chat:
        chat.until("New conversation 'birthday'")
        chat.type(f"{ALLERGY}\n")
        chat.until("mirror  Thank you for telling me about the shellfish")
        chat.until("you     ")
        chat.type("Which Motown so")
        chat.until("mind after turn 1")
        chat.until("you     Which Motown so")
        chat.type("ngs?\n")
        chat.until("mirror  For the first half hour")
        chat.until("mind after turn 2")
        chat.until("you     ")
        chat.type("/mind\n")
        chat.until("/mind")
        assert "mind after turn 2" in chat.until("They are allergic to shellfish")
        chat.type("/quit\n")
        assert chat.ended() == 0

    again = run("chat", "birthday", typed=f"{PAELLA}\n/nonsense\n\n/mind\n")
    assert (again.code, again.err) == (0, "")
    assert "Resuming 'birthday' after turn 2" in again.out
    assert "you     Which Motown songs?" in again.out
    assert "mirror  Lovely choice!" in again.out
    assert "added by the guard: “Paella”" in again.out
    assert again.out.count("mind after turn 3") == 2


@pytest.mark.slow
def test_ctrl_c_stops_a_reply_and_an_error_is_one_line_and_the_conversation_goes_on(
    endpoint: Endpoint, replies: Replies
) -> None:
    replies.by_component["talker"] = [
        Answer(f"one two {'three ' * 1_000} end", pause=0.5),  # still streaming whenever the key is read
        Answer(status=401, error="Your key is\nwrong."),
        "It is all right again.",
    ]
    with terminal("chat", "--thinking", "off") as chat:
        chat.until("New conversation")
        chat.type("Count!\n")
        chat.until("mirror  one two")
        chat.interrupt()
        assert "end" not in chat.until("Stopped. Your message was saved.")
        chat.type("Go on.\n")
        complaint = chat.until("send it again to retry")
        assert "✗ talker: the call failed" in complaint
        assert "Traceback" not in complaint
        chat.type("Go on.\n")
        chat.until("mirror  It is all right again.")
        chat.until("you     ")
        chat.interrupt_until("/quit or Ctrl-D leaves")
        chat.until("you     ")
        chat.type("\x04")
        assert chat.ended() == 0


def test_a_mind_is_shown_as_text_and_as_json_until_its_thread_is_forgotten(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(ALLERGY))
    assert mirror("chat", "birthday", "--user", "ana").code == 0

    birthday = ("birthday", "--user", "ana")
    shown = mirror("mind", *birthday).out
    assert "mind after turn 1" in shown
    assert re.search(r"^  synthesis +1 ", shown, re.MULTILINE)
    mind = json.loads(mirror("mind", *birthday, "--json").out)
    assert "allergic to shellfish" in mind["narrative"]
    assert (mind["thread"], mind["turn"], mind["lag"], mind["failures"]) == ("birthday", 1, 0, {})
    assert mind["usage"]["talker"]["total"]["calls"] == 1

    monkeypatch.setattr(sys, "stdin", StringIO("n\n"))
    assert "'birthday' (1 turn) and its mind" in mirror("forget", *birthday).out
    assert mirror("mind", *birthday).code == 0
    assert mirror("forget", *birthday, "--yes") == (0, "Deleted 'birthday'.\n", "")
    assert mirror("mind", *birthday).code == 1


async def test_the_script_answers_what_is_asked_about_its_danger() -> None:
    context = MirrorContext("scripted:demo")
    [entry] = scan("I'm allergic to shellfish.")
    assert "paella" in (await generate_triggers(entry, context, 1)).phrases
    assert (await check([entry], PAELLA, context, 1)).ids == [SHELLFISH]
    assert (await check([entry], "Which Motown songs?", context, 1)).ids == []


@pytest.fixture
def birthday(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a sitting of Ana's showed: two turns, and questions about the ledger."""
    typed = f"{ALLERGY} My sister is allergic to peanuts.\nWhich Motown songs?\n/why {SHELLFISH}\n/why x\n"
    monkeypatch.setattr(sys, "stdin", StringIO(typed))
    ended = mirror("chat", "birthday", "--user", "ana")
    assert (ended.code, ended.err) == (0, "✗ no constraint 'x' in this conversation: /mind shows the ids\n")
    return ended.out


def test_why_shows_the_message_that_a_constraint_came_from(birthday: str) -> None:
    answer = birthday.rpartition("mind after turn 2")[2]
    assert "turn 1: “I'm allergic to shellfish.”" in answer
    assert "you     I cook for my sister's fortieth. I'm allergic to shellfish. My sister" in answer


def test_why_shows_the_quote_if_the_message_has_left_the_window(
    birthday: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(f"/why {SHELLFISH}\n"))
    shown = mirror("chat", "elsewhere", "--user", "ana").out
    assert "turn 1: “I'm allergic to shellfish.”\nThe message is no longer in the window.\n" in shown


def test_a_mind_shows_its_ledger_with_whom_it_concerns(birthday: str, mirror: Mirror) -> None:
    shown = mirror("mind", "birthday", "--user", "ana").out
    assert re.search(r"ledger +\S+ allergy: shellfish \(active, \w{10}\)", shown)
    assert re.search(r"ledger +\S+ allergy of my sister: peanuts \(active, \w{10}\)", shown, re.IGNORECASE)


def test_a_minds_history_and_its_changes_are_shown(birthday: str, mirror: Mirror) -> None:
    thread = ("mind", "birthday", "--user", "ana")
    history = mirror(*thread, "--history").out
    assert history.index("narrative of turn 1") < history.index("narrative of turn 2")
    narratives = json.loads(mirror(*thread, "--history", "--json").out)["history"]
    assert [narrative["turn"] for narrative in narratives] == [1, 2]
    changed = mirror(*thread, "--diff").out
    assert "from turn 1 to turn 2" in changed
    assert "{+Now they +}" in changed


def test_changes_are_marked_word_by_word() -> None:
    assert changes("They like red wine.", "They like it: wine.").plain == "They like [-red -]{+it: +}wine."
    assert changes("They cook.", "They cook. For six.").plain == "They [-cook.-]{+cook. For six.+}"
    assert changes("same", "same").plain == "same"


@pytest.mark.parametrize(
    ("paused", "title"),
    [
        ("", "mind after turn 3, 1 behind"),
        ("off", "mind after turn 3, 1 behind, thinking is off"),
        ("thread budget", "mind after turn 3, 1 behind, paused: the thread's token budget is spent"),
        ("daily budget", "mind after turn 3, 1 behind, paused: the host's daily token budget is spent"),
    ],
)
def test_a_mind_says_why_it_does_not_think(paused: Paused, title: str) -> None:
    assert mind_panel(Mind("", {}, (), 3, 1, {}, {}, paused)).title == title


def test_pruning_counts_the_threads(birthday: str, mirror: Mirror) -> None:
    assert re.fullmatch(r"Pruned \d+ threads?\.\n", mirror("prune").out)
    assert "mind after turn 2" in mirror("mind", "birthday", "--user", "ana").out


def test_a_database_is_encrypted_in_place_and_then_needs_its_key(
    birthday: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = mirror("key").out.strip()
    monkeypatch.setenv("MIRROR_AES_KEY", key)
    assert "mind after turn 2" in mirror("mind", "birthday", "--user", "ana").out
    assert mirror("encrypt").out == "Encrypted 2 threads, and all constraints of users.\n"
    assert mirror("encrypt").out == "Encrypted 0 threads, and all constraints of users.\n"
    assert "mind after turn 2" in mirror("mind", "birthday", "--user", "ana").out
    monkeypatch.setenv("MIRROR_AES_KEY", f"{mirror('key').out.strip()}")
    ended = mirror("mind", "birthday", "--user", "ana")
    assert ended.code == 1
    assert "encrypted with the key" in ended.err
    assert "MIRROR_AES_KEY" in ended.err
    assert key not in ended.err


def test_conversations_that_were_not_used_for_days_are_erased(birthday: str, mirror: Mirror) -> None:
    assert mirror("prune", "--older-than", "1", "--yes").out.startswith("Erased 0 conversations.\n")
    with closing(sqlite3.connect(os.environ["MIRROR_DATABASE"])) as file:
        assert file.execute("SELECT count(*) FROM checkpoints").fetchone() == (2,)
    assert mirror("prune", "--older-than", "0").code == 2


def test_a_users_constraints_are_listed_changed_exported_and_erased(
    birthday: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "allergy: shellfish (active" in mirror("user", "list", "ana").out
    added = mirror("user", "add", "ana", "latex", "--kind", "allergy", "--severity", "life-threatening").out
    assert added.startswith("life-threatening allergy: latex (active")
    assert "added by hand: “latex”" in added
    assert "(retracted" in mirror("user", "edit", "ana", SHELLFISH, "--status", "retracted").out
    unchanged = mirror("user", "edit", "ana", SHELLFISH)
    assert (unchanged.code, "expected one or more of --about" in " ".join(unchanged.err.split())) == (2, True)
    exported = json.loads(mirror("user", "export", "ana").out)
    assert {("latex", "active"), ("shellfish", "retracted")} <= {
        (constraint["about"], constraint["status"]) for constraint in exported["constraints"]
    }
    mirror("user", "export", "ana", "--output", str(tmp_path / "ana.json"))
    assert json.loads((tmp_path / "ana.json").read_text()) == exported

    assert mirror("user", "forget", "ana", SHELLFISH, "--yes").out == "Erased 'shellfish'.\n"
    assert "shellfish" not in mirror("user", "list", "ana").out
    monkeypatch.setattr(sys, "stdin", StringIO("n\n"))
    assert mirror("user", "forget", "ana").code == 1
    assert "latex" in mirror("user", "list", "ana").out
    assert mirror("user", "forget", "ana", "--yes").code == 0
    assert mirror("user", "list", "ana").out.startswith("User 'ana' has no constraints. A severe one")


def test_a_full_list_says_how_many_constraints_were_evicted(mirror: Mirror) -> None:
    async def fill() -> None:
        async with open_mirror(os.environ["MIRROR_DATABASE"]) as host:
            for number in range(64):
                await host.user("ben").add(f"dish {number}", kind="dietary", severity="preference")

    asyncio.run(fill())
    assert "evicted" not in mirror("user", "list", "ben").out
    mirror("user", "add", "ben", "latex", "--kind", "allergy")
    assert mirror("user", "list", "ben").out.endswith(
        "1 less important constraint was evicted because the list was full.\n"
    )
    mirror("user", "add", "ben", "bees", "--kind", "allergy")
    assert mirror("user", "list", "ben").out.endswith(
        "2 less important constraints were evicted because the list was full.\n"
    )


def test_what_a_user_may_choose_is_what_the_ledger_knows() -> None:
    assert get_args(user.Kind) == get_args(Kind)
    assert get_args(user.Severity) == get_args(Severity)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["mind", "nobody"], "no thread 'nobody' in "),
        (["forget", "nobody", "--yes", "--user", "ana"], "no thread 'nobody' of user 'ana' in "),
        (["chat", "--model", "openai:gpt-4o-mini"], "needs OPENAI_API_KEY"),
        (["chat", "--model", "nonsense"], "unknown model 'nonsense'"),
        (["demo", "--model", "local:smollm2-135m"], "run `mirror model pull smollm2-135m`"),
        (["chat", "--model", "scripted:demo", "--database", "/dev/null/mirror.db"], "cannot open the database"),
        (["model", "pull", "nonsense"], "unknown local model 'nonsense'"),
        (["model", "path"], "is not downloaded"),
        (["prune"], "no database at "),
        (["user", "list", "ana"], "no database at "),
        (
            ["chat", "--model", "scripted:demo", "--database", "mysql://u:pw@host/x"],
            "expected the path of a SQLite file",
        ),
        (["serve", "--model", "scripted:demo", "--keys", "missing.toml"], "Expected a TOML file of lines like"),
        (["serve", "--model", "scripted:demo", "--user-header", "X-User"], "MIRROR_TRUSTED_KEY"),
        (["forget", "dinner", "--yes", "--server", "not-a-url"], "in --server"),
        (["eval", "relevance", "--inputs", "missing.csv"], "expected a CSV, JSONL or XLSX file"),
        (["eval", "curate", "--model", "gpt", "--form", "none", "--dry-run"], "expected openai:NAME"),
        (["train", "rows", "rows", "--traces", "missing.jsonl"], "expected a file of JSON lines"),
        (["user", "add", "ana", ""], "about is ''"),
        (["user", "add", "ana", "shellfish", "--subject", ""], "subject is ''"),
    ],
)
def test_an_error_is_one_line(
    mirror: Mirror, arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = mirror(*arguments)
    assert ended.code == 1
    assert problem in ended.err
    assert ended.err.startswith("✗ ")
    assert ended.err.count("\n") == 1
    assert "pw@" not in ended.err


@pytest.mark.parametrize(
    "command",
    [
        ["user", "export", "ana", "--output"],
        ["eval", "guard", "--ratings", __file__, "--json"],
        ["eval", "relevance", "--json"],
        ["eval", "relevance", "--touches"],
        ["eval", "ledger", "--json"],
        ["eval", "saferec", "--json"],
        ["eval", "saferec", "--report"],
        ["eval", "curate", "--model", "openai:any", "--json"],
        ["eval", "curate", "--model", "openai:any", "--report"],
        ["eval", "judge", "--ratings", __file__, "--judge", "openai:any", "--json"],
        ["eval", "report", __file__, "--out"],
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_an_error_before_a_run_starts(
    mirror: Mirror, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "out.json", tmp_path):
        ended = mirror(*command, str(path))
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("✗ cannot ")
        assert "out.json" in ended.err or "expected the path of a file" in ended.err
        assert ended.err.count("\n") == 1


def test_a_file_that_cannot_be_read_is_one_line(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "of-another-user"))

    monkeypatch.setattr("mirror_graph.cli.database.open_mirror", broken)
    (tmp_path / "mirror.db").touch()
    ended = mirror("prune")
    assert ended.code == 1
    assert (
        ended.err
        == f"✗ cannot use '{tmp_path / 'of-another-user'}': Permission denied. Check the path and its permissions\n"
    )


def test_an_unknown_constraint_names_the_command_that_lists_them(mirror: Mirror) -> None:
    mirror("user", "add", "ana", "shellfish")
    for arguments in (["edit", "ana", "no-such-id", "--about", "prawns"], ["forget", "ana", "no-such-id", "--yes"]):
        ended = mirror("user", *arguments)
        assert ended.code == 1
        assert "`mirror user list`" in ended.err


@pytest.mark.parametrize("option", ["--about", "--subject"])
def test_an_empty_value_is_refused_and_not_left_out(mirror: Mirror, option: str) -> None:
    mirror("user", "add", "ana", "shellfish")
    shown = mirror("user", "list", "ana").out
    known = re.findall(r"\(active, (\w+)\)", shown)
    assert len(known) == 1
    ended = mirror("user", "edit", "ana", *known, option, "", "--severity", "life-threatening")
    assert ended.code == 1
    assert f"{option.removeprefix('--')} is ''" in ended.err
    assert mirror("user", "list", "ana").out == shown


def test_a_judge_is_measured_only_in_a_form_in_which_it_judges(mirror: Mirror) -> None:
    ended = mirror("eval", "judge", "--ratings", __file__, "--judge", "openai:any", "--form", "none")
    assert ended.code == 2
    assert "'questions', 'rubric'" in " ".join(ended.err.replace("│", " ").split())


@pytest.mark.slow
def test_a_database_server_that_is_away_is_one_line_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ended = run("chat", "--model", "scripted:demo", "--database", f"postgresql://ana:pw@127.0.0.1:{port}/mirror")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert f"port {port}" in ended.err
    assert "Check that PostgreSQL runs there" in ended.err
    assert ":pw@" not in ended.err


def test_reading_a_thread_makes_no_database(mirror: Mirror, tmp_path: Path) -> None:
    mirror("mind", "nobody")
    assert list(tmp_path.iterdir()) == []


def test_without_its_extra_the_command_says_what_to_install(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "rich" else name)
    assert mirror("--help") == (2, "", "mirror needs rich: pip install 'mirror-graph[cli]'\n")


def test_the_default_model_is_the_keys_then_the_local_then_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_model().model == "scripted:demo"
    monkeypatch.setattr(defaults, "find", lambda name: Path(f"{name}.gguf"))
    assert default_model().model == "local:qwen2.5-coder-1.5b"
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert default_model().model == "openai:gpt-4o-mini"


def test_a_model_is_pulled_with_its_progress_and_then_listed(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull(name: str, *, on_progress: weights.Progress) -> Path:
        on_progress(50_000_000, 98_362_432)
        return Path("/models/small.gguf")

    def find(name: str) -> Path:
        if name == "smollm2-135m":
            return Path("/models/small.gguf")
        raise ModelFileError("not there", path="")

    monkeypatch.setattr(weights, "pull", pull)
    monkeypatch.setattr(weights, "find", find)
    pulled = mirror("model", "pull", "smollm2-135m").out
    assert "98.4/98.4 MB" in pulled
    assert pulled.endswith("/models/small.gguf\n")
    listed = mirror("model", "list").out
    assert re.search(r"qwen2.5-coder-1.5b .* not downloaded", listed)
    assert re.search(r"smollm2-135m .* downloaded", listed)


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_words_are_broken_at_the_edge_however_their_pieces_were_cut(
    size: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render.console, "width", 48)
    text = "Once upon a midnight dreary, while I pondered,\n\n- weak and weary,\n- over many a quaint volume"
    speech = Speech("mirror")
    for start in range(0, len(text), size):
        speech.add(text[start : start + size])
    speech.end()
    out = capsys.readouterr().out
    assert out.split() == ["mirror", *text.split()]
    assert [line.rstrip() for line in out.splitlines()] == [
        "mirror  Once upon a midnight dreary, while I",
        "        pondered,",
        "",
        "        - weak and weary,",
        "        - over many a quaint volume",
    ]
