"""The screens. Importing this package costs nothing; Textual is imported when a screen is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.tui.source import SnapshotSource


def run_tui(
    source: SnapshotSource,
    *,
    theme: str = "dark",
    ascii: bool = False,  # noqa: A002 - the option's name
    interval_s: float = 1.0,
    folder: Path | None = None,
    redact: bool = True,
    mouse: bool = True,
) -> int:
    """Show the screens until the user quits, then close the source. Returns the exit code.

    theme: "dark", "light", "ansi", or one of Textual's own; an unknown one raises ValueError.
    ascii: draw with ASCII alone. folder: where exports and recordings go (the current one by default).
    redact: whether exports are redacted; recordings are the source's business.
    """
    from advisor.tui.app import AdvisorApp, TuiOptions

    options = TuiOptions(
        theme=theme, ascii=ascii, interval_s=interval_s, folder=folder or Path.cwd(), redact=redact
    )
    try:
        app = AdvisorApp(source, options)
        app.run(mouse=mouse)
    finally:
        source.close()
    return app.return_code or 0
