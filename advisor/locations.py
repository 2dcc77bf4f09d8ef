"""Where the program keeps things: XDG directories, or their like elsewhere, by platformdirs."""

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


def state_dir(env: Mapping[str, str] | None = None) -> Path:
    """What outlives a run, such as measured ceilings: where ADVISOR_STATE_DIR says, else the user's state
    directory of this program (XDG_STATE_HOME on Linux)."""
    named = (os.environ if env is None else env).get("ADVISOR_STATE_DIR")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_state_path(_APP, appauthor=False)


def ceilings_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where probe runs are stored, one file a device."""
    return state_dir(env) / "ceilings"


def history_file(env: Mapping[str, str] | None = None) -> Path:
    """The history of diagnoses and probe runs, beside the ceilings.

    In the state directory, not the data directory: XDG names history as state, being of this machine and
    nothing to carry to another one; and one ADVISOR_STATE_DIR moves all that the program keeps.
    """
    return state_dir(env) / "history.sqlite3"
