"""Checks of the terminal, the configuration, and the places where files are kept."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from advisor.cli.checks.check import Check, fail, ok, skip, warn

MIN_COLUMNS, MIN_ROWS = 80, 24
MIN_FREE_BYTES = 100 << 20


def environment_checks(env: Mapping[str, str] = os.environ) -> list[Check]:
    """terminal, config and storage."""
    return [_terminal(env), _config(env), storage(Path.cwd())]


def _terminal(env: Mapping[str, str]) -> Check:
    if not sys.stdout.isatty():
        return skip("terminal", "stdout is no terminal: reports are printed, the screen does not open")
    size = shutil.get_terminal_size()
    encoding = (sys.stdout.encoding or "").lower()
    seen = f"{env.get('TERM', 'TERM not set')}, {size.columns}x{size.lines}, {encoding or 'no encoding'}"
    if env.get("TERM", "dumb") == "dumb":
        return warn("terminal", seen, "Set TERM, for example to xterm-256color.")
    if size.columns < MIN_COLUMNS or size.lines < MIN_ROWS:
        return warn("terminal", seen, f"Make it {MIN_COLUMNS}x{MIN_ROWS} or larger.")
    if "utf" not in encoding:
        return warn("terminal", seen, "Set LANG to a UTF-8 locale, or `ascii = true` in the configuration.")
    return ok("terminal", seen + (", NO_COLOR" if env.get("NO_COLOR") else ""))


def _config(env: Mapping[str, str]) -> Check:
    from advisor.config import ConfigError, load

    try:
        config = load({}, env)
    except ConfigError as error:
        return fail("config", "; ".join(error.problems), "Correct it, then run `advisor config validate`.")
    return ok("config", config.path if config.exists else f"defaults; there is no {config.path}")


def storage(folder: Path) -> Check:
    """Whether recordings and exports can be written where the person stands."""
    if not os.access(folder, os.W_OK):
        return warn(
            "storage", f"{folder} cannot be written", "Record and export from a folder you may write to."
        )
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        return warn("storage", f"{folder} has {free >> 20} MiB left", "Free some space before recording.")
    return ok("storage", f"{folder}, {free >> 30} GiB free")
