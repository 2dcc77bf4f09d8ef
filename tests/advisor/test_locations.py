"""Paths honour ADVISOR_CONFIG and the XDG variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import locations


@pytest.mark.parametrize(
    ("variable", "place", "tail"),
    [
        ("XDG_CONFIG_HOME", locations.config_dir, "advisor"),
        ("XDG_STATE_HOME", locations.store_dir, "advisor/store"),
        ("XDG_CACHE_HOME", locations.cache_dir, "advisor"),
        ("XDG_DATA_HOME", locations.recordings_dir, "advisor/recordings"),
    ],
)
def test_xdg_variables_move_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: object, tail: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    assert callable(place)
    assert place() == tmp_path / tail


def test_a_named_configuration_wins(tmp_path: Path) -> None:
    assert locations.config_file({"ADVISOR_CONFIG": str(tmp_path / "x.toml")}) == tmp_path / "x.toml"
    assert locations.config_file({"ADVISOR_CONFIG": "~/x.toml"}) == Path.home() / "x.toml"


def test_asking_for_paths_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    locations.store_dir()
    assert not (tmp_path / "state").exists()
    monkeypatch.chdir(tmp_path)
    assert locations.export_dir() == tmp_path
