"""Every command that a page, a message or a report names is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parents[3]
# In a code span anywhere; in shell blocks of pages at the start of a line, after && or a folder.
SPAN = re.compile(r"`advisor ([a-z][\w-]*)")
SHELL = re.compile(r"(?:^|&& |bin/)advisor ([a-z][\w-]*)", re.MULTILINE)
SHELL_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PLACES = ("README.md", "CHANGELOG.md", "docs/**/*.md", "advisor/**/*.py", "rules/**/*.py", "probes/**/*.py")


def named(text: str) -> set[str]:
    """Commands a text names."""
    blocks = "\n".join(SHELL_BLOCK.findall(text))
    return set(SPAN.findall(text)) | set(SHELL.findall(blocks))


@pytest.mark.parametrize("pattern", PLACES)
def test_only_commands_that_exist_are_named(pattern: str) -> None:
    paths = sorted(ROOT.glob(pattern))
    assert paths
    for path in paths:
        assert named(path.read_text()) <= set(COMMANDS), path


def test_a_command_that_does_not_exist_is_seen() -> None:
    page = "run `advisor compare a b`\n```sh\nadvisor nonsense x\n```\nadvisor is here\n"
    assert named(page) == {"compare", "nonsense"}
