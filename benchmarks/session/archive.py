"""The one archive that a call leaves and the next call goes on with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from advisor.reports.files import write_atomic
from benchmarks.workloads import filing

NAME = "gpu-session"
ARCHIVE = f"{NAME}.tar.gz"
SUMMARY, FACTS = "summary.json", "facts.json"
# Beside the recordings, in this order.
TOP = (SUMMARY, FACTS, filing.PROBES, "peers.json", "peers.md")
_KNOWN = re.compile(f"{'|'.join(map(re.escape, TOP))}|{filing.OURS.pattern}", re.ASCII)
# Larger files are not brought back from every machine.
LARGE_BYTES = 16 * 1024**2


def pack(work: Path, out: Path) -> Path:
    """Everything whole in `work` as one archive in `out`, replaced in one step, and the summary beside it."""
    recordings = work / "workloads"
    names = [(work / name, f"{NAME}/{name}") for name in TOP if (work / name).is_file()]
    names += [
        (recordings / name, f"{NAME}/workloads/{name}")
        for name in filing.packable(recordings)
        if name != filing.PROBES
    ]
    filing.write_archive(out / ARCHIVE, names)
    if (work / SUMMARY).is_file():
        shutil.copyfile(work / SUMMARY, out / SUMMARY)
    return out / ARCHIVE


def unpack(source: Path, work: Path) -> None:
    """Take over an earlier call: its archive, the folder that the archive is in, or its recordings alone.

    Raises filing.FilingError where `source` cannot be read or holds nothing of a session.
    """
    if (source / ARCHIVE).is_file():
        source = source / ARCHIVE
    found = 0
    for name, content in filing.files(source, _KNOWN):
        write_atomic(_made(work if name in TOP else work / "workloads") / name, content)
        found += 1
    if not found:
        raise filing.FilingError(f"{source} holds nothing of an earlier call")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_summary(work: Path) -> dict[str, Any]:
    """What earlier calls noted; empty where there were none. Raises filing.FilingError for what is none."""
    try:
        found = json.loads((work / SUMMARY).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise filing.FilingError(f"{SUMMARY} of the earlier call cannot be read: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("calls"), list):
        raise filing.FilingError(f"{SUMMARY} of the earlier call is none of this program")
    return found


def write_json(path: Path, value: Any) -> None:
    """A JSON file, replaced in one step."""
    write_atomic(path, json.dumps(value, indent=1).encode() + b"\n")
