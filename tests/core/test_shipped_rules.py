"""The shipped rules against an attacker's events: what each exclusion lets pass, and what it must not."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

import pytest

from app.core.event import decode
from app.core.needles import Needles
from app.core.rule import Rule, parse_rule
from tests.events import ABSENT, event, raw

PACKAGED = Path(__file__).parents[2] / "app" / "rules"
RULES: dict[str, Rule] = {
    path.stem: parse_rule(path.read_bytes(), path.name) for path in sorted(PACKAGED.glob("*.toml"))
}
LEADERS = ("group", "session", "entry")
CHILD, DESCENDANT, PATH = "exim4_child", "exim4_descendant", "exim4_unusual_path"
HELPED = [
    *("cat", "chmod", "chown", "dirname", "expr", "getopt", "hostname", "id", "ls", "mktemp", "mv", "rm", "sed"),
    *("touch", "tr"),
]


def matching(executable: object, parent: str, leader: str | None = "exim4", **overrides: Any) -> set[str]:
    """Names of the rules that an execution matches.

    Args:
        executable: `process.executable`; its last part is the name.
        parent: `process.parent.executable`, likewise.
        leader: `process.session_leader.name`; None for an event without leaders.
        overrides: More fields, as for `event`.
    """
    fields: dict[str, Any] = {
        "process__executable": executable,
        "process__parent__executable": parent,
        "process__session_leader__name": ABSENT if leader is None else leader,
    }
    names = {
        "process__name": posixpath.basename(executable) if isinstance(executable, str) else ABSENT,
        "process__parent__name": posixpath.basename(parent),
    }
    decoded = decode(raw(event(**(names | fields | overrides))))
    return {name for name, rule in RULES.items() if rule.matches(decoded)}


def test_three_rules_are_shipped() -> None:
    """On by default: child, descendant and path, each by the needle exim4 alone, so that the sieve keeps its speed."""
    needles = Needles.of((rule.id, rule.query) for rule in RULES.values())

    assert [CHILD, DESCENDANT, PATH] == list(RULES)
    assert (frozenset({"exim4"}), None) == (needles.literals, needles.reason)
    assert [frozenset({"exim4"})] * 3 == [Needles.of([(rule.id, rule.query)]).literals for rule in RULES.values()]


def test_severities_and_terms() -> None:
    """A known name from a new path is news to the path rule, and that is the graver one."""
    found = {
        name: (rule.spec.severity, rule.spec.risk_score, rule.fields, rule.spec.new_terms.history_window)
        for name, rule in RULES.items()
    }

    assert {
        CHILD: ("low", 21, ("host.id", "process.name"), "14d"),
        DESCENDANT: ("low", 21, ("host.id", "process.name"), "14d"),
        PATH: ("medium", 47, ("host.id", "process.executable"), "14d"),
    } == found


@pytest.mark.parametrize("leader", LEADERS)
def test_any_leader_makes_a_descendant(leader: str) -> None:
    """Group, session or entry: a job control shell, a new session and a daemon's own tree differ in these."""
    named: dict[str, Any] = {f"process__{leader}_leader__name": "exim4"}

    assert {DESCENDANT} == matching("/usr/bin/wget", "/bin/sh", None, **named)
    assert {DESCENDANT, PATH} == matching("/tmp/wget", "/bin/sh", None, **named)
    assert set() == matching("/usr/bin/wget", "/bin/sh", None, **dict.fromkeys(named, "sendmail"))


def test_leaders_are_only_a_claim_of_the_event() -> None:
    """Without leaders a child is a child, and nothing deeper can be seen: the README names it."""
    assert {CHILD} == matching("/usr/bin/wget", "/usr/sbin/exim4", None)
    assert {CHILD, PATH} == matching("/tmp/wget", "/usr/sbin/exim4", None)
    assert set() == matching("/tmp/wget", "/bin/sh", None)


@pytest.mark.parametrize(
    "overrides",
    [
        {"host__os__type": "windows"},
        {"event__action": ["fork"], "event__type": ["start"]},
        {"event__action": "end", "event__type": ["end"]},
        {"event__type": ["end"]},
    ],
)
def test_only_executions_on_linux_count(overrides: dict[str, Any]) -> None:
    """Forks and ends name the same processes, and are no executions."""
    assert {CHILD, DESCENDANT, PATH} == matching("/tmp/x", "/usr/sbin/exim4") | matching("/tmp/x", "/bin/sh")
    assert set() == matching("/tmp/x", "/usr/sbin/exim4", **overrides) | matching("/tmp/x", "/bin/sh", **overrides)


@pytest.mark.parametrize(
    ("executable", "parent"),
    [
        ("/usr/sbin/exim4", "/usr/sbin/sendmail"),
        ("/usr/sbin/exim4", "/usr/sbin/update-exim4.conf"),
        ("/usr/sbin/exim4", "/usr/lib/systemd/systemd"),
        ("/etc/init.d/exim4", "/usr/lib/systemd/systemd"),
        ("/usr/bin/grep", "/usr/bin/procmail"),
        ("/bin/grep", "/bin/sh"),
        ("/usr/bin/sort", "/bin/sh"),
        ("/usr/bin/stat", "/bin/sh"),
        ("/bin/readlink", "/bin/sh"),
        ("/usr/bin/systemd-tty-ask-password-agent", "/usr/bin/systemctl"),
        *((f"/usr/bin/{name}", "/usr/sbin/update-exim4.conf") for name in (*HELPED, "grep")),
        *((f"/bin/{name}", "/usr/sbin/update-exim4.conf") for name in HELPED),
    ],
)
def test_ordinary_work_of_the_package_is_silent(executable: str, parent: str) -> None:
    """Exim itself, what filters look with, and what Debian's configuration script calls."""
    assert set() == matching(executable, parent)


@pytest.mark.parametrize(
    "name",
    [
        *("cmake", "cppcheck", "gcc", "install", "plymouth", "run-parts", "sshd", "start-stop-daemon", "systemctl"),
        "update-exim4.conf",
    ],
)
def test_other_names_of_the_list_are_news_below_a_shell(name: str) -> None:
    """They are excluded as exim4's own children, where its init script and builds have them, and nowhere deeper."""
    assert set() == matching(f"/usr/bin/{name}", "/usr/sbin/exim4")
    assert {DESCENDANT} == matching(f"/usr/bin/{name}", "/bin/sh")


def test_child_of_another_program_of_that_name_is_a_descendant() -> None:
    """A shell copied to /tmp/exim4 starts what the child rule excludes by name; one without a path is exim4."""
    assert {DESCENDANT} == matching("/usr/bin/systemctl", "/tmp/exim4")
    assert {CHILD, DESCENDANT} == matching("/bin/sh", "/tmp/exim4")
    assert {CHILD} == matching("/bin/sh", "/usr/sbin/exim4")
    assert {CHILD} == matching("/bin/sh", "exim4", process__parent__executable=ABSENT)
    assert {CHILD} == matching("/usr/bin/sleep", "/etc/init.d/exim4")


@pytest.mark.parametrize(
    "parent",
    [
        *("/usr/bin/run-parts", "/usr/sbin/start-stop-daemon", "/usr/bin/systemctl", "/usr/sbin/sshd"),
        *("/usr/bin/install", "/usr/bin/sort", "/usr/bin/gcc", "/usr/bin/plymouth"),
    ],
)
def test_what_excluded_programs_start_is_seen(parent: str) -> None:
    """`run-parts --regex '^sh$' /bin` and the like: a child that is excluded by its name hides nothing behind it."""
    assert {DESCENDANT} == matching("/bin/sh", parent)


@pytest.mark.parametrize("name", ["sh", "bash", "wget", "curl", "perl", "nc", "python3", "tee", "cp", "env", "xargs"])
def test_command_left_in_the_configuration_script_is_seen(name: str) -> None:
    """/etc/exim4/update-exim4.conf.conf is sourced by a shell: a way to come back that the helper must not hide."""
    assert {DESCENDANT} == matching(f"/usr/bin/{name}", "/usr/sbin/update-exim4.conf")


@pytest.mark.parametrize(
    "parent",
    [
        *("/tmp/update-exim4.conf", "/usr/local/sbin/update-exim4.conf", "/usr/sbin/../../tmp/update-exim4.conf"),
        *("update-exim4.conf", "/usr/sbin/update-exim4.conf (deleted)", "", "/proc/self/fd/3"),
    ],
)
def test_helper_counts_by_its_whole_path(parent: str) -> None:
    """A parent of that name from elsewhere, or with no path at all, excludes nothing."""
    named: dict[str, Any] = {"process__parent__name": "update-exim4.conf"}

    assert {DESCENDANT} == matching("/usr/bin/chmod", parent, **named)
    assert {DESCENDANT} == matching("/usr/bin/chmod", parent, process__parent__executable=ABSENT, **named)


@pytest.mark.parametrize("name", ["grep", "sort", "exim4", "chmod"])
@pytest.mark.parametrize(
    "directory",
    [
        *("/tmp/.x", "/var/tmp", "/dev/shm", "/home/bob/bin", "/usr/local/bin", "/opt/x", "/var/spool/exim4", ""),
        *(
            "/usr/bin/../../tmp",
            "/usr/bin/..",
            "/bin/../tmp",
            "/usr/bin/.x",
            "/usr/bin/...",
            "/usr/bin/.. ",
            "./usr/bin",
        ),
        *("usr/bin", "bin", ".", "..", "/proc/self/fd", "/proc/4711/root/usr/bin", "/dev/fd", "/usr/binx", "//usr/bin"),
        *(
            "/USR/BIN",
            "/tmp/usr/bin",
            "/tmp/link-to-usr-bin",
            "/memfd:usr/bin",
            "/usr/library",
            "/lib.x",
            "/libx",
            "/usr",
        ),
    ],
)
def test_excluded_name_from_elsewhere_is_seen(name: str, directory: str) -> None:
    """By the path rule as a child, by both as a descendant, whatever the path is that leads there."""
    executable = f"{directory}/{name}"
    as_child = matching(executable, "/usr/sbin/exim4")

    assert PATH in as_child
    assert (CHILD in as_child) == (name == "chmod")
    assert {DESCENDANT, PATH} == matching(executable, "/bin/sh")
    assert {DESCENDANT, PATH} == matching(executable, "/usr/sbin/update-exim4.conf")


@pytest.mark.parametrize(
    "executable",
    [
        *("", "grep", "./grep", "../usr/bin/grep", "/memfd:grep (deleted)", "memfd:", "/tmp/grep (deleted)"),
        *(
            "/usr/bin",
            "/usr/lib",
            "/etc/init.d",
            "/etc/init.d/.x",
            "/usr/lib/.x/grep",
            "/lib64/./grep",
            "/usr//bin/grep",
        ),
        *(" /usr/bin/grep", "\u0000/usr/bin/grep", "/usr/bin\\grep"),
    ],
)
def test_anything_but_a_system_path_is_unusual(executable: str) -> None:
    """Empty, relative, anonymous or twisted: what isn't plainly inside is outside, and the name is no help."""
    assert {PATH} == matching(executable, "/usr/sbin/exim4", process__name="grep")
    assert {DESCENDANT, PATH} == matching(executable, "/bin/sh", process__name="grep")


@pytest.mark.parametrize(
    "executable",
    [
        *("/usr/bin/procmail", "/usr/sbin/sendmail", "/bin/sh", "/sbin/start-stop-daemon", "/etc/init.d/exim4"),
        *("/usr/lib/dovecot/deliver", "/lib/x86_64-linux-gnu/a", "/usr/libexec/dovecot/deliver", "/usr/lib64/a/b"),
        *("/usr/lib32/a", "/usr/libx32/a", "/lib32/a", "/lib64/a", "/libx32/a", "/usr/bin/python3..11", "/usr/bin/x."),
    ],
)
def test_system_path_is_no_news_to_the_path_rule(executable: str) -> None:
    """Names with dots inside are names."""
    assert PATH not in matching(executable, "/usr/sbin/exim4") | matching(executable, "/bin/sh")


@pytest.mark.parametrize("missing", [ABSENT, None, []])
def test_event_without_an_executable_is_judged_by_its_name_alone(missing: object) -> None:
    """The path rule would have no term; an excluded name is no longer excluded for a descendant."""
    assert set() == matching(missing, "/usr/sbin/exim4", process__name="grep")
    assert {CHILD} == matching(missing, "/usr/sbin/exim4", process__name="perl")
    assert {DESCENDANT} == matching(missing, "/bin/sh", process__name="grep")
    assert {DESCENDANT} == matching(missing, "/usr/sbin/update-exim4.conf", process__name="cat")


def test_program_called_exim4_does_not_hide_what_it_starts() -> None:
    """A copy in /tmp alerts itself; its children are children of something called exim4, and descendants."""
    assert {PATH} == matching("/tmp/exim4", "/usr/sbin/exim4")
    assert {DESCENDANT, PATH} == matching("/tmp/exim4", "/bin/bash", "bash", process__group_leader__name="exim4")
    assert {CHILD, DESCENDANT} == matching("/usr/bin/wget", "/tmp/exim4")
    assert {CHILD, DESCENDANT, PATH} == matching("/tmp/x", "/tmp/exim4")


@pytest.mark.parametrize(
    ("executable", "parent"),
    [
        ("/usr/bin/systemd-tty-ask-password-agent", "/bin/sh"),
        ("/usr/bin/systemd-tty-ask-password-agent", "/tmp/systemctl"),
        ("/usr/bin/less", "/usr/bin/systemctl"),
        ("/usr/bin/chmod", "/usr/bin/systemctl"),
    ],
)
def test_password_agent_belongs_to_systemctl(executable: str, parent: str) -> None:
    """Each of both without the other is news: a pager of systemctl's gives a shell."""
    assert {DESCENDANT} == matching(executable, parent)


def test_missing_names_do_not_exclude() -> None:
    """`not` is true where a field is missing: an event without names is seen rather than passed over."""
    assert {CHILD} == matching("/usr/bin/grep", "/usr/sbin/exim4", process__name=ABSENT)
    assert {DESCENDANT} == matching("/usr/bin/grep", "/bin/sh", process__name=ABSENT)
    assert {DESCENDANT} == matching(
        "/usr/bin/id", "/bin/sh", process__parent__name=ABSENT, process__parent__executable=ABSENT
    )


def test_one_of_several_values_excludes() -> None:
    """Any value of a field satisfies a clause: a sensor that reports two paths is taken by the better one."""
    two = ["/usr/bin/grep", "/tmp/grep"]

    assert set() == matching(two, "/bin/sh", process__name="grep")
    assert {DESCENDANT, PATH} == matching([*two, "/usr/bin/../../tmp/grep"], "/bin/sh", process__name="grep")
