"""Puts itself into the bounds of a systemd unit that one process can take on, and then becomes a command.

    python -m tests.deploy.sandbox UNIT COMMAND…

It stands in where systemd does not run: its filter of system calls, RestrictAddressFamilies,
MemoryDenyWriteExecute, NoNewPrivileges, LimitNOFILE and UMask. Mounts, devices and memory limits are not taken on.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_MDWE: Final = 65
_PR_MDWE_REFUSE_EXEC_GAIN: Final = 1
_SCMP_ACT_ALLOW: Final = 0x7FFF0000
_SCMP_ACT_ERRNO: Final = 0x00050000
_SCMP_CMP_EQ: Final = 4
_EPERM: Final = 1
_ENOSYS: Final = 38


class _Comparison(ctypes.Structure):
    """libseccomp's struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def options(unit: str) -> dict[str, list[str]]:
    """The [Service] section's options, each with its values in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in unit.splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def allowed_calls(filters: list[str]) -> set[str]:
    """The system calls that a list of SystemCallFilter values leaves, in their order."""
    calls: set[str] = set()
    for value in filters:
        named = {call for name in value.removeprefix("~").split() for call in _members(name)}
        calls = calls - named if value.startswith("~") else calls | named
    # systemd lets these pass whatever a list says.
    return calls | {*_members("@default"), "execve"}


def _members(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in told.stdout.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in _members(line)}


def enter(unit: str) -> None:
    """Take on the bounds; there is no way back.

    Raises:
        OSError: The kernel or libseccomp refused one.
    """
    said = options(unit)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = min(int(said["LimitNOFILE"][-1]), hard if hard != resource.RLIM_INFINITY else sys.maxsize)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.umask(int(said["UMask"][-1], 8))
    libc = ctypes.CDLL(None, use_errno=True)
    _done(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    calls = allowed_calls(said["SystemCallFilter"])
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(_SCMP_ACT_ERRNO | _EPERM))
    for call in sorted(calls - {"clone3", "socket"}):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            _done(seccomp.seccomp_rule_add(context, _SCMP_ACT_ALLOW, number, 0), call)
    # As systemd does for RestrictNamespaces: its flags can't be looked at, so libc is made to fall back to clone.
    seccomp.seccomp_rule_add(context, _SCMP_ACT_ERRNO | _ENOSYS, seccomp.seccomp_syscall_resolve_name(b"clone3"), 0)
    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in said["RestrictAddressFamilies"][-1].split():
        only = _Comparison(0, _SCMP_CMP_EQ, getattr(socket, family), 0)
        _done(seccomp.seccomp_rule_add_array(context, _SCMP_ACT_ALLOW, number, 1, ctypes.byref(only)), family)
    _done(seccomp.seccomp_load(context), "the filter of system calls")
    if said["MemoryDenyWriteExecute"] == ["yes"]:
        _done(libc.prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0), "MDWE")


def _done(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what} was refused")


if __name__ == "__main__":
    enter(Path(sys.argv[1]).read_text())
    os.execvp(sys.argv[2], sys.argv[2:])
