"""What a trace gives away: folders of files and of Python frames, hosts that profilers put into file names.

Names of kernels and operators stay: they are what a report of a trace is about. Everything else in its texts
(labels, annotations, messages) goes through the patterns of `advisor.reports.redact` like any other text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules.traces.records import TraceReport

FOLDERS = "folders of trace files and Python frames removed"

# As torch.profiler writes a Python function: "folder/file.py(123): name".
_FRAME = re.compile(r"(?:[^\s/:;,(]*/)+(?P<file>[^\s/]+\.py\(\d+\))")
# As torch.profiler.tensorboard_trace_handler names files: host_pid.time.pt.trace.json, also with .gz.
_HANDLER = re.compile(r"(?P<host>[\w.-]+?)_\d+\.\d+\.pt\.trace\.json")
_HASHED = re.compile(r"node-[0-9a-f]{6}")
# Under which name the profiler wrote the file, as the file says itself.
_NAME_FACT = "traceName"
# Options of a command whose value may have a slash and is no path.
_NO_PATHS = frozenset({"--gpu-model", "--select", "--ignore", "--fail-on"})
_HOST_FACTS = frozenset({"host", "hostname", "host name", "node"})


class TraceNames:
    """Folders and hosts that the traces of one document name, and how to take them out of any text.

    hashed: what a host's name becomes.
    """

    def __init__(self, report: TraceReport | None, hashed: Callable[[str], str]) -> None:
        self._traced = report is not None
        files = report.files if report is not None else ()
        named = {f.name for f in files} | {f.facts[_NAME_FACT] for f in files if _NAME_FACT in f.facts}
        self._paths = sorted({path for path in named if _base(path) != path}, key=len, reverse=True)
        hosts = {found["host"] for path in named if (found := _HANDLER.search(_base(path)))}
        hosts |= {v for f in files for k, v in f.facts.items() if k.lower() in _HOST_FACTS and v}
        self._hosts = {h: hashed(h) for h in sorted(hosts, key=len, reverse=True) if not _HASHED.fullmatch(h)}
        self.removed = False
        self.hashed = False

    def clean(self, text: str) -> str:
        """The text without these names. What a document without traces holds is left alone."""
        if not self._traced:
            return text
        shown = text
        for path in self._paths:
            shown = shown.replace(path, _base(path))
        shown = _FRAME.sub(lambda match: match["file"], shown)
        self.removed |= shown != text
        for host, name in self._hosts.items():
            shown, count = re.subn(rf"(?<![\w-]){re.escape(host)}(?![^\W_]|-)", name, shown)
            self.hashed |= count > 0
        return shown

    def command(self, line: str) -> str:
        """The command that made a document of traces, its files by name alone: run where they lie."""
        if not self._traced or not line.startswith("advisor trace "):
            return line
        shown = line
        for word in _paths(line):
            shown = shown.replace(shlex.quote(word), shlex.quote(_named(word)))
        self.removed |= shown != line
        return shown


def _paths(line: str) -> list[str]:
    """The words of a command line that are paths, longest first; none where its quotes do not match."""
    try:
        words = shlex.split(line)
    except ValueError:
        return []
    before = ["", *words]
    found = {
        word
        for word, last in zip(words, before, strict=False)
        if "/" in word and last not in _NO_PATHS and word.partition("=")[0] not in _NO_PATHS
    }
    return sorted(found, key=len, reverse=True)


def _named(word: str) -> str:
    """A path's last part, behind the option that it may belong to; it never looks like an option itself."""
    option, equals, path = word.partition("=") if word.startswith("--") else ("", "", word)
    base = _base(path)
    return f"{option}{equals}./{base}" if base.startswith("-") and not option else f"{option}{equals}{base}"


def _base(path: str) -> str:
    """The file's name, also of a path that was written on Windows."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path


def with_clean_keys(document: dict[str, Any], clean: Callable[[str], str]) -> None:
    """Texts that are keys in the records of a trace: categories, phases, facts. Changes the document."""
    trace = document.get("trace")
    if trace is None:
        return
    for file in trace["files"]:
        for name in ("events", "facts"):
            file[name] = {clean(key): value for key, value in file[name].items()}
    for device in trace["devices"]:
        device["unknown"] = {clean(key): value for key, value in device["unknown"].items()}
        steps = device["steps"]
        for record in (steps, *steps["rows"]) if steps is not None else ():
            record["phases"] = {clean(key): value for key, value in record["phases"].items()}
