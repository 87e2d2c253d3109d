"""`eximwatch health`: a running worker's own answer, for supervisors and containers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Final

import click

from app.errors import SettingsError
from app.runtime.settings import load_settings
from app.tools.flags import examples, setting_options

_ANSWER_S: Final = 5.0
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — asked, not listened on


@click.command(epilog=examples("eximwatch health", "eximwatch health --ready --http-listen 127.0.0.1:9465"))
@click.option("--ready", is_flag=True, help="Ask whether it is ready (/readyz) instead of whether it lives (/livez).")
@setting_options("http_listen")
def health(*, ready: bool, **flags: str | None) -> None:
    """Ask a worker on this machine for its health; ends with 1 unless all is well.

    A worker that does not answer is not well either.
    """
    address = load_settings(**flags).http_address
    if address is None or address[1] == 0:
        raise SettingsError("setting http_listen (EXIMWATCH_HTTP_LISTEN) names no port to ask at: give --http-listen")
    is_well, told = ask(address, "/readyz" if ready else "/livez")
    click.echo(told)
    if not is_well:
        raise SystemExit(1)


def ask(address: tuple[str, int], path: str) -> tuple[bool, str]:
    """Whether the answer is that all is well, and the answer in one line."""
    host = _ANYWHERE.get(address[0], address[0])
    url = f"http://{f'[{host}]' if ':' in host else host}:{address[1]}{path}"
    # A proxy of the environment is not for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_S) as response:
            return True, _told(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return False, _told(error.read())
    except OSError as error:
        return False, f"{url} does not answer: {getattr(error, 'reason', error)}"


def _told(body: bytes) -> str:
    try:
        shown = (
            (name, value if isinstance(value, str) else json.dumps(value)) for name, value in json.loads(body).items()
        )
        return " ".join(f"{name}={value}" for name, value in shown if value)
    except (ValueError, AttributeError):
        return repr(body[:200])
