"""Stack frames without folders, which name users, projects and customers; the file's name finds the line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.document import Diagnosis

REMOVED = "folders of stack frames removed"
# The evidence that holds a stack frame (rules.host_stacks).
FRAME_METRIC = "frame that shows it"

# "function (folder/file:line)"; a folder may be cut at its beginning, function and folder may hold brackets.
_FRAME = re.compile(r"(?P<function>.*?) \((?:[^()/\n]*)/(?:.*/)?(?P<file>[^/]*)\)", re.DOTALL)


def without_folders(frame: str) -> str:
    """A frame with the name of its file alone."""
    found = _FRAME.fullmatch(frame)
    return f"{found['function']} ({found['file']})" if found else frame


def frames_of(diagnosis: Diagnosis) -> dict[str, str]:
    """Every stack frame of the document that names a folder, and what is left of it; the longest first."""
    evidence = [item for verdict in diagnosis.verdicts for item in verdict.evidence]
    evidence += [item for finding in diagnosis.findings for item in finding.evidence]
    frames = {item.value for item in evidence if item.metric == FRAME_METRIC and isinstance(item.value, str)}
    short = {frame: without_folders(frame) for frame in sorted(frames, key=len, reverse=True)}
    return {frame: left for frame, left in short.items() if frame != left}


def shortened(text: str, frames: Mapping[str, str]) -> str:
    """The text with these frames shortened wherever it quotes them."""
    for frame, left in frames.items():
        text = text.replace(frame, left)
    return text
