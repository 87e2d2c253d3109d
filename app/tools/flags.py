"""What the commands' flags and help have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from app.runtime.settings import SECRETS, Settings

_F = TypeVar("_F", bound=Callable[..., Any])


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def setting_options(*names: str) -> Callable[[_F], _F]:
    """Flags for settings: named, typed and described by their declaration; secrets have none."""

    def decorate(command: _F) -> _F:
        for name in reversed(names or tuple(Settings.model_fields)):
            if name in SECRETS:
                continue
            field = Settings.model_fields[name]
            flag = name.replace("_", "-")
            if field.annotation is bool:
                option = click.option(f"--{flag}/--no-{flag}", name, default=None, help=field.description)
            else:
                option = click.option(f"--{flag}", name, default=None, help=field.description, metavar="VALUE")
            command = option(command)
        return command

    return decorate
