"""Paths honour ADVISOR_CONFIG and the XDG variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import locations


def test_xdg_moves_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert locations.config_dir() == tmp_path / "advisor"
    assert locations.config_file({}) == tmp_path / "advisor" / "config.toml"
    assert not (tmp_path / "advisor").exists(), "asking for a path creates nothing"


def test_a_named_configuration_wins(tmp_path: Path) -> None:
    assert locations.config_file({"ADVISOR_CONFIG": str(tmp_path / "x.toml")}) == tmp_path / "x.toml"
    assert locations.config_file({"ADVISOR_CONFIG": "~/x.toml"}) == Path.home() / "x.toml"
