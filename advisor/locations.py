"""Every path of the program, in one place. XDG directories, and their like elsewhere, by platformdirs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_APP = "advisor"


def config_file(env: Mapping[str, str] | None = None) -> Path:
    """config.toml: where ADVISOR_CONFIG says, else in the user's configuration directory."""
    named = (os.environ if env is None else env).get("ADVISOR_CONFIG")
    return Path(named).expanduser() if named else config_dir() / "config.toml"


def config_dir() -> Path:
    """The user's configuration directory of this program (XDG_CONFIG_HOME on Linux)."""
    import platformdirs

    return platformdirs.user_config_path(_APP, appauthor=False)


def state_dir() -> Path:
    """What outlives a run and is the machine's own: measured ceilings, logs (XDG_STATE_HOME)."""
    import platformdirs

    return platformdirs.user_state_path(_APP, appauthor=False)


def store_dir() -> Path:
    """Measured ceilings, one file a card."""
    return state_dir() / "store"


def cache_dir() -> Path:
    """What can be made again at any time (XDG_CACHE_HOME)."""
    import platformdirs

    return platformdirs.user_cache_path(_APP, appauthor=False)


def recordings_dir() -> Path:
    """Recordings made without naming a file (XDG_DATA_HOME)."""
    import platformdirs

    return platformdirs.user_data_path(_APP, appauthor=False) / "recordings"


def export_dir() -> Path:
    """Reports made without naming a file: where the person stands."""
    return Path.cwd()
