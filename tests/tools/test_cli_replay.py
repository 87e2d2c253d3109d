"""The command line, and `replay` through it: exit codes, messages, files and streams."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from backports import zstd

from app.tools.cli import cli, main
from tests.core.rules import RULE_FILE
from tests.events import ABSENT, JsonObject, event, raw
from tests.schemas import validate_replay_dead_letter

ROOT = Path(__file__).parents[2]
NOW = ("--now", "2026-02-01T00:00:00Z")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[JsonObject]:
        """Standard output as NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _own_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin in an empty directory, without any variable of ours."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("EXIMWATCH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process, as `eximwatch` would."""

    def command(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr("sys.argv", ["eximwatch", *arguments])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, out, err)

    return command


def lines(*documents: object) -> bytes:
    """Write documents, or bytes, as lines."""
    return b"".join((one if isinstance(one, bytes) else raw(one)) + b"\n" for one in documents)


def write(name: str, content: bytes) -> str:
    """Write a file into the working directory and give its name."""
    Path(name).write_bytes(content)
    return name


def reasons(result: Result) -> list[str]:
    """The reasons of alerts, shortened to what ran and what was new."""
    return [one["kibana.alert.reason"] for one in result.documents]


def commands(group: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command that does something."""
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))
    else:
        yield path


def one_line(result: Result) -> str:
    """The one line that an error of ours is."""
    assert result.err.startswith("eximwatch: ")
    assert 1 == result.err.count("\n")
    assert "Traceback" not in result.err
    return result.err.removeprefix("eximwatch: ").rstrip("\n")


def test_new_terms_are_written_as_ndjson(run: Run) -> None:
    """Each new term has one alert, one JSON object a line; the summary goes to standard error."""
    file = write(
        "events.ndjson",
        lines(event(), event(), event(name="bash"), event(host="mail02"), event(name="grep"), event(parent="cron")),
    )
    result = run("replay", file, *NOW)

    assert 0 == result.code
    assert [["mail01", "sh"], ["mail01", "bash"], ["mail02", "sh"]] == [
        one["kibana.alert.new_terms"] for one in result.documents
    ]
    assert [{"file": "events.ndjson", "line": number} for number in (1, 3, 4)] == [
        one["detector"]["source"] for one in result.documents
    ]
    assert "6 lines, 1 scanned, 5 candidates: 1 known, 3 new;" in result.err
    assert "dead letters" not in result.err


def test_term_comes_back_after_the_window(run: Run) -> None:
    """Files are one history in the order given; known for fourteen days, new again after more."""
    first = write("a.ndjson", lines(event(time="2026-01-01T00:00:00Z")))
    second = write("b.ndjson", lines(event(time="2026-01-15T00:00:00Z"), event(time="2026-01-29T02:00:00Z")))
    result = run("replay", first, second, *NOW)

    assert ["first time on this host.", "not seen on this host for 14 d 2 h."] == [
        reason.split(": ")[-1] for reason in reasons(result)
    ]


def test_two_runs_differ_in_time_and_source_only(run: Run) -> None:
    """Ids and everything else are equal, whatever the file is called."""
    content = lines(event(), event(name="bash"), event(name=["a", "b"]))
    one = run("replay", write("one.ndjson", content), *NOW).documents
    other = run("replay", write("other.ndjson", b"\n\n" + content), *NOW).documents
    for document in (*one, *other):
        del document["@timestamp"], document["detector"]["source"]

    assert 4 == len(one)
    assert one == other


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed_files_are_read(suffix: str, run: Run) -> None:
    """By their names."""
    compress: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".zst": zstd.compress,
    }

    assert 1 == len(run("replay", write(f"e.ndjson{suffix}", compress[suffix](lines(event()))), *NOW).documents)


def test_standard_input_is_read(run: Run) -> None:
    """`-` is what is piped in, and the alert says so."""
    result = run("replay", "-", *NOW, stdin=lines(event()) + raw(event(name="bash")))

    assert [{"file": "-", "line": 1}, {"file": "-", "line": 2}] == [
        one["detector"]["source"] for one in result.documents
    ]


def test_alerts_and_dead_letters_go_to_files(run: Run) -> None:
    """Standard output stays empty then; a dead letter holds reason, place and the record's bytes."""
    broken = b'{"process":{"parent":{"name":"exim4"'
    binary = b'{"exim4":"\xff'
    file = write("events.ndjson", lines(event(), broken, event(host=ABSENT), binary, b"not a candidate {"))
    result = run("replay", file, *NOW, "--alerts", "alerts.ndjson", "--dead-letters", "dead.ndjson")
    alerts = Path("alerts.ndjson").read_text(encoding="utf-8").splitlines()
    dead = [json.loads(line) for line in Path("dead.ndjson").read_text(encoding="utf-8").splitlines()]

    assert (0, "") == (result.code, result.out)
    assert [["mail01", "sh"]] == [json.loads(line)["kibana.alert.new_terms"] for line in alerts]
    assert [("not_json", 2), ("missing_term_field", 3), ("not_json", 4)] == [
        (one["reason"], one["source"]["line"]) for one in dead
    ]
    assert all(one["detail"] for one in dead)
    assert broken.decode() == dead[0]["record"]
    assert "exim4_child" == dead[1]["rule"]
    assert binary == base64.b64decode(dead[2]["record_base64"])
    assert "dead letters: 1 missing_term_field, 2 not_json\n" in result.err


def test_dead_letters_are_counted_without_a_file(run: Run) -> None:
    """The summary says how to keep them; they change nothing about the exit code."""
    result = run("replay", write("e.ndjson", lines(b'{"exim4"')), *NOW)

    assert 0 == result.code
    assert "dead letters: 1 not_json; --dead-letters FILE keeps them" in result.err
    assert "1 candidates: no verdict;" in result.err


def test_rule_files_are_chosen(run: Run) -> None:
    """`--rule` replaces the shipped rules, is repeatable, and takes directories."""
    Path("rules").mkdir()
    write("rules/a.toml", RULE_FILE.replace('"child"', '"a"').encode())
    write("rules/b.txt", b"no rule")
    own = write(
        "own.toml", RULE_FILE.replace('"child"', '"own"').replace("not process.name:grep", "process.name:*").encode()
    )
    file = write("e.ndjson", lines(event(name="grep"), event()))
    result = run("replay", file, "--rule", "rules", "--rule", own, *NOW)

    assert [("own", "grep"), ("a", "sh"), ("own", "sh")] == [
        (one["kibana.alert.rule.rule_id"], one["kibana.alert.new_terms"][1]) for one in result.documents
    ]


def test_now_bounds_the_clocks(run: Run) -> None:
    """No clock counts as later than `--now` plus the skew."""
    file = write("e.ndjson", lines(event(time="2030-01-01T00:00:00Z")))
    now = ("--now", "2026-01-05T08:00:00Z")

    assert {
        "time": "2026-01-05T08:05:00.000Z",
        "source": "@timestamp",
        "bounded_from": "2030-01-01T00:00:00.000Z",
    } == run("replay", file, *now).documents[0]["detector"]["clock"]
    assert (
        "2026-01-05T09:00:00.000Z"
        == run("replay", file, *now, "--max-future-skew", "1h").documents[0]["detector"]["clock"]["time"]
    )


def test_present_bounds_the_clocks_without_now(run: Run) -> None:
    """The start of the run is the default."""
    found = run("replay", write("e.ndjson", lines(event(time="9000-01-01T00:00:00Z")))).documents[0]["detector"][
        "clock"
    ]

    assert "9000-01-01T00:00:00.000Z" == found["bounded_from"]
    assert "2026" <= found["time"][:4] < "9000"


def test_wrapped_events_are_replayed_when_told_so(run: Run) -> None:
    """By flag or variable; an event by itself is a dead letter then, and another word is refused."""
    file = write("e.ndjson", lines({"message": raw(event()).decode()}, event(name="bash")))
    result = run("replay", file, *NOW, "--source-format", "message", "--dead-letters", "dead.ndjson")

    assert [["mail01", "sh"]] == [one["kibana.alert.new_terms"] for one in result.documents]
    (letter,) = map(json.loads, Path("dead.ndjson").read_text().splitlines())
    assert ("not_wrapped", 2) == (validate_replay_dead_letter(raw(letter))["reason"], letter["source"]["line"])
    refused = run("replay", file, "--source-format", "xml")
    assert 2 == refused.code
    assert "source_format (EXIMWATCH_SOURCE_FORMAT): Input should be 'ecs' or 'message'" in refused.err


@pytest.mark.parametrize(
    ("alert_from", "expected"),
    [
        ("2026-01-10T00:00:00Z", [["mail01", "bash"]]),
        ("2026-01-12T00:00:00Z", [["mail01", "bash"]]),
        ("2026-01-12T00:00:01Z", []),
        ("2026-01-01T00:00:00Z", [["mail01", "sh"], ["mail01", "bash"]]),
        ("start", []),
    ],
)
def test_matches_before_alert_from_are_learnt(alert_from: str, expected: list[list[str]], run: Run) -> None:
    """They build history and raise no alert; `start` means the time of `--now`."""
    file = write(
        "e.ndjson",
        lines(
            event(time="2026-01-05T00:00:00Z"),
            event(time="2026-01-12T00:00:00Z"),
            event(name="bash", time="2026-01-12T00:00:00Z"),
        ),
    )
    result = run("replay", file, *NOW, "--alert-from", alert_from)

    assert expected == [one["kibana.alert.new_terms"] for one in result.documents]


def test_alerts_are_held_to_their_limit(run: Run) -> None:
    """`--max-alert-bytes` cuts what is larger."""
    file = write("e.ndjson", lines(event(process__command_line="x" * 500_000)))
    result = run("replay", file, *NOW, "--max-alert-bytes", "262144")

    assert len(result.out) <= 262_144
    assert ["process.command_line"] == result.documents[0]["detector"]["truncated"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["replay", "missing.ndjson"], 3, "missing.ndjson can't be read: No such file or directory"),
        (["replay", "."], 3, ". can't be read: Is a directory"),
        (["replay", "e.ndjson", "--alerts", "no/such.ndjson"], 3, "no/such.ndjson can't be written: No such file"),
        (["replay", "e.ndjson", "--now", "noon"], 2, "--now 'noon' is no ISO 8601 time: write it like 2026-"),
        (["replay", "e.ndjson", "--alert-from", "noon"], 2, 'must be "start" or an ISO 8601 time'),
        (["replay", "e.ndjson", "--max-future-skew", "5"], 2, "'5' is no duration"),
        (["replay", "e.ndjson", "--max-alert-bytes", "10"], 2, "EXIMWATCH_MAX_ALERT_BYTES"),
        (["replay", "e.ndjson", "--rule", "missing.toml"], 2, "missing.toml:1: can't be read: No such file"),
        (["replay", "e.ndjson", "--rule", "empty"], 2, "empty:1: no rule file there"),
        (["replay", "e.ndjson", "--rule", "bad.toml"], 2, "bad.toml:12: query, column 17: "),
        (["replay", "e.ndjson", "--rule", "a.toml", "--rule", "b.toml"], 2, "b.toml:1: the rule id 'child' is taken"),
        (["settings", "--partitions", "none"], 2, "setting partitions (EXIMWATCH_PARTITIONS): "),
    ],
)
def test_error_is_one_line_with_its_exit_code(arguments: list[str], code: int, message: str, run: Run) -> None:
    """What is wrong and where, no traceback, and the exit code of its kind."""
    write("e.ndjson", lines(event()))
    write("a.toml", RULE_FILE.encode())
    write("b.toml", RULE_FILE.encode())
    write("bad.toml", RULE_FILE.replace("process.parent.name:exim4 and", "process.name:sh |").encode())
    Path("empty").mkdir()
    result = run(*arguments)

    assert code == result.code
    assert "" == result.out
    assert message in one_line(result)


def test_file_that_ends_too_soon_is_an_error(run: Run) -> None:
    """What could be read before was judged; the exit code says that it is not all."""
    whole = gzip.compress(lines(*(event(name=f"p{n}") for n in range(2000))))
    result = run("replay", write("cut.gz", whole[: len(whole) // 2]), *NOW, "--alerts", "alerts.ndjson")

    assert 3 == result.code
    assert "cut.gz can't be read: Compressed file ended" in one_line(result)


def test_unknown_variable_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting stops every command that reads settings."""
    monkeypatch.setenv("EXIMWATCH_ALERT_FORM", "start")

    assert "EXIMWATCH_ALERT_FORM is no setting" in one_line(run("replay", write("e.ndjson", lines(event()))))


@pytest.mark.parametrize("arguments", [["--debug", "replay", "none"], ["replay", "none", "--debug"]])
def test_debug_shows_the_traceback(arguments: list[str], run: Run) -> None:
    """Wherever it stands; the line for the operator comes last."""
    result = run(*arguments)

    assert 3 == result.code
    assert result.err.startswith("Traceback (most recent call last):")
    assert "eximwatch: none can't be read: No such file or directory" == result.err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["replay"], ["replay", "--no-such-flag", "x"], ["no-such-command"], ["topics", "no-such-command"]]
)
def test_wrong_usage_has_its_exit_code(arguments: list[str], run: Run) -> None:
    """The message points at the help; nothing is judged."""
    result = run(*arguments)

    assert (2, "") == (result.code, result.out)
    assert 1 == result.err.count("\n")
    assert "--help`" in result.err
    assert "Traceback" not in result.err


def test_name_of_a_file_can_not_act_on_the_terminal(run: Run) -> None:
    """A message spells out control characters of what it quotes."""
    assert "\\u001b[31m\\u000a can't be read" in one_line(run("replay", "\x1b[31m\n"))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_ends_in_examples(path: tuple[str, ...], run: Run) -> None:
    """Every command says what it is for and ends with lines that can be copied."""
    result = run(*path, "--help")
    text, _, last = result.out.partition("\n  Examples:\n")

    assert (0, "") == (result.code, result.err)
    assert text.startswith("Usage: ")
    examples = [line.strip() for line in last.splitlines() if line.strip()]
    assert examples
    assert all(f"eximwatch {' '.join(path)}" in line for line in examples)


def test_help_of_the_whole_ends_in_examples(run: Run) -> None:
    """It lists the commands and the exit codes before."""
    out = run("-h").out

    assert out.index("Commands:") < out.index("Exit codes:") < out.index("Examples:")
    assert "eximwatch" in out.rstrip().splitlines()[-1]


def test_version_is_told(run: Run) -> None:
    """Name and version, nothing else."""
    result = run("--version")

    assert 0 == result.code
    assert result.out.split()[-1].count(".") >= 1


def test_settings_are_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting with the value that would be used now."""
    monkeypatch.setenv("EXIMWATCH_TOPIC_PREFIX", "blue")
    result = run("settings", "--partitions", "4")

    assert 0 == result.code
    assert {"topic_prefix = blue", "partitions = 4", "brokers = 127.0.0.1:9092"} <= set(result.out.splitlines())


def _process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "app", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=False, env=environment, timeout=60, **options)


def test_module_is_the_command() -> None:
    """`python -m app` reads from a pipe and writes to one; an error ends with its exit code."""
    good = _process("replay", "-", *NOW, input=lines(event()), capture_output=True)
    bad = _process("replay", "missing", capture_output=True)

    assert (0, 1) == (good.returncode, len(good.stdout.splitlines()))
    assert ["mail01", "sh"] == json.loads(good.stdout)["kibana.alert.new_terms"]
    assert (3, b"", b"eximwatch: missing can't be read: No such file or directory\n") == (
        bad.returncode,
        bad.stdout,
        bad.stderr,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [[], ["--alerts", "/dev/full"]])
def test_full_disk_is_an_error_of_one_line(arguments: list[str]) -> None:
    """An output that can't be written to its end is told like any other error, and is no success."""
    with Path("/dev/full").open("wb") as full:
        ended = _process("replay", "-", *arguments, *NOW, input=lines(event()), stdout=full, stderr=subprocess.PIPE)

    assert 0 != ended.returncode
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(b"eximwatch: ")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("content", [lines(event()), b'{"exim4"\n'], ids=["alert", "dead letter"])
def test_file_may_have_any_name(content: bytes, tmp_path: Path) -> None:
    """A name that is not UTF-8 keeps no record from being judged."""
    name = os.fsencode(tmp_path) + b"/\xff.ndjson"
    Path(os.fsdecode(name)).write_bytes(content)
    ended = _process("replay", os.fsdecode(name), *NOW, "--dead-letters", str(tmp_path / "dead"), capture_output=True)
    written = ended.stdout + (tmp_path / "dead").read_bytes()

    assert 0 == ended.returncode
    assert b"Traceback" not in ended.stderr
    assert 1 == len(written.splitlines())
    assert b"internal_error" not in written


@pytest.mark.parametrize("flag", ["--alerts", "--dead-letters"])
def test_input_is_never_overwritten(flag: str, run: Run) -> None:
    """An output that is an input too is refused before anything is opened."""
    content = lines(event())
    name = write("events.ndjson", content)

    result = run("replay", name, flag, name)

    assert (3, f"{name} is an input too and would be overwritten: name another output") == (
        result.code,
        one_line(result),
    )
    assert content == Path(name).read_bytes()


@pytest.mark.parametrize("arguments", [["--now", "2026"], ["--alert-from", "1767600000000"]])
def test_bare_number_is_no_time_for_a_flag(arguments: list[str], run: Run) -> None:
    """A year alone would be read as milliseconds since 1970 where events are concerned; a flag wants ISO 8601."""
    result = run("replay", write("events.ndjson", lines(event())), *arguments)

    assert 2 == result.code
    assert "ISO 8601" in one_line(result)
