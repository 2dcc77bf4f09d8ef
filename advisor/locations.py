"""Where the program looks for its configuration: an XDG directory, or its like elsewhere, by platformdirs."""

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
