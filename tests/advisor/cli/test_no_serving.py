"""--no-serving, on every command that would ask engines beside the GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from advisor.cli.commands import diagnose, record, run
from advisor.cli.diagnostics import CliError
from advisor.config import Config

COMMANDS = {
    "diagnose": (diagnose.command, "advisor.cli.session.live_feed", ["--duration", "5s"]),
    "run": (run.command, "advisor.cli.running.live_feed", ["true"]),
    "record": (record.command, "advisor.cli.recording.live_feed", ["new.jsonl"]),
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("flags", [[], ["--no-serving"]])
def test_engines_are_asked_unless_they_are_to_be_left_alone(
    name: str, flags: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command, opens, args = COMMANDS[name]
    asked: list[bool] = []

    def opened(config: Config) -> None:
        asked.append(config.serving)
        raise CliError("enough")

    monkeypatch.setattr(opens, opened)
    monkeypatch.chdir(tmp_path)
    env = {"XDG_CONFIG_HOME": str(tmp_path), "ADVISOR_SERVING": "true"}
    result = CliRunner().invoke(command, [*flags, *args], env=env)
    assert isinstance(result.exception, CliError), result.output
    assert asked == [not flags]
