"""A click group that imports a command's file only when that command is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import rich_click as click


class LazyGroup(click.RichGroup):
    """A group whose commands are `advisor.cli.commands.<name>:command`, imported on first use."""

    def __init__(self, *args: Any, lazy: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = tuple(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, in the order given."""
        return list(self._lazy)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest commands named when there is none of that name."""
        name = args[0] if args else ""
        unknown = not name.startswith("-") and name not in self._lazy
        if unknown and not ctx.resilient_parsing:
            near = get_close_matches(name, self._lazy, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now; None for a name that is none of ours."""
        if cmd_name not in self._lazy:
            return None
        command: click.Command = import_module(f"advisor.cli.commands.{cmd_name}").command
        return command
