"""Certificates for a Kafka of the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """PEM files: the certificate, which is its own authority, its key, and what a server needs, both in one."""

    authority: Path
    key: Path
    keystore: Path


def make_certificate(folder: Path, address: str = "127.0.0.1") -> Certificate:
    """A certificate for a server at an address; `folder` must exist and be empty."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=kafka"
    command += f" -addext subjectAltName=IP:{address} -keyout key.pem -out authority.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    made = Certificate(folder / "authority.pem", folder / "key.pem", folder / "keystore.pem")
    made.keystore.write_text(made.key.read_text() + made.authority.read_text())
    return made
