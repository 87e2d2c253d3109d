"""Programs by what they are good for: names and their versions, wherever they lie.

The lists name what attackers are known to reach for on a Linux host, and are short on purpose: an unknown name is
no kind of program, and costs no points.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

Kind = Literal["shell", "interpreter", "downloader", "network_tool", "persistence_tool"]

APPLETS: Final = frozenset({"busybox", "toybox"})
"""Programs that are many: which one they are stands in their arguments."""

_NAMES: dict[Kind, str] = {
    "shell": "sh ash bash dash rbash ksh mksh pdksh oksh zsh yash csh tcsh fish pwsh elvish",
    "interpreter": (
        "python pypy perl ruby php php-cgi php-fpm node nodejs deno bun lua luajit awk gawk mawk nawk original-awk "
        "tclsh wish expect guile"
    ),
    "downloader": (
        "curl wget fetch aria axel lynx links elinks w3m lwp-request lwp-download httpie http https xh "
        "ftp ftpget lftp ncftp ncftpget tnftp tftp atftp scp sftp rsync rclone"
    ),
    "network_tool": (
        "nc ncat netcat nc.openbsd nc.traditional cryptcat pwncat socat websocat telnet ssh slogin dbclient autossh "
        "rsh rlogin mosh-client stunnel chisel ngrok frpc gost proxychains nmap masscan zmap hping"
    ),
    "persistence_tool": (
        "useradd adduser usermod groupadd groupmod chpasswd visudo crontab at batch chattr setcap insmod "
        "modprobe update-rc.d ssh-copy-id"
    ),
}
_KINDS: Final[dict[str, Kind]] = {name: kind for kind, names in _NAMES.items() for name in names.split()}

# python3.11, perl5.36.0, php8.2, php-cgi8.2, lua5.4, ksh93, wget2, gawk-5.1.0, python3.11d
_VERSION = re.compile(r"-?\d[\d.]*[a-z]?\Z")
_MAX_NAME = 64


def base_name(path: str) -> str:
    """The last part of a path, of a login shell's name without its dash, without the mark of a deleted file."""
    return path.removesuffix(" (deleted)").rpartition("/")[2].removeprefix("-")


def plain_name(name: str) -> str:
    """A program's name without its version: `python` for `python3.11`; a name of no known kind stays as it is."""
    if name in _KINDS or len(name) > _MAX_NAME:
        return name
    unversioned = _VERSION.sub("", name)
    return unversioned if unversioned in _KINDS else name


def kind_of(path: str) -> Kind | None:
    """What kind of program a name or path is, case-sensitively; None for none that is known."""
    return _KINDS.get(plain_name(base_name(path)))


def program_of(path: str, args: Sequence[str]) -> str:
    """The program that runs: the name of what lies at the path or, for busybox and its kin, of the applet."""
    name = base_name(path)
    if name not in APPLETS:
        return name
    called = next((base_name(arg) for arg in args[:2] if base_name(arg) not in APPLETS), "")
    return called or name
