"""What a trace's report may be written over: never a file that is read for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.cli.diagnostics import CliError

if TYPE_CHECKING:
    from advisor.cli.reporting import Wish
    from advisor.cli.tracing import Asked


def check_targets(files: Sequence[Path], asked: Asked, wish: Wish) -> None:
    """Raise CliError where a file to be written is one that is read, or is to be written twice."""
    read = [(path, "it is a trace that is read") for path in files]
    if asked.order is not None and asked.order.save is not None:
        read.append((Path(asked.order.save), "it is where --save keeps the trace"))
    if asked.join is not None and asked.join != "-":
        read.append((Path(asked.join), "it is the diagnosis that is joined"))
    written = list(_written(asked, wish))
    for option, target in written:
        why = next((why for path, why in read if _same(path, target)), None)
        if why is not None:
            raise CliError(f"{option} would overwrite {target}: {why}", "give it another name")
    _check_images([path for path, _ in read], wish)
    if len(written) == 2 and _same(written[0][1], written[1][1]):
        names = " and ".join(option for option, _ in written)
        raise CliError(f"{names} name the same file, {written[0][1]}", "give one of them another name")


def _written(asked: Asked, wish: Wish) -> Iterator[tuple[str, Path]]:
    if asked.perfetto is not None:
        yield "--perfetto", Path(asked.perfetto)
    if wish.out not in (None, "-") and not wish.only_images and not asked.tui:
        yield "-o", Path(wish.out or "")


def _check_images(read: Sequence[Path], wish: Wish) -> None:
    """Images are named after the report: FILE-ladder.png and the like."""
    if wish.out in (None, "-") or not (wish.images or wish.only_images):
        return
    out = Path(wish.out or "")
    begin = f"{out.stem}-"
    folder = os.path.realpath(out.parent)
    for path in read:
        here = path.name.startswith(begin) and path.name.lower().endswith(".png")
        if here and os.path.realpath(path.parent) == folder:
            raise CliError(f"the images could overwrite {path}, which is read", "give -o another name")


def _same(one: Path, other: Path) -> bool:
    """Whether both are one file, by whatever names; a device or a pipe is written to and stays."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
