"""From a Diagnosis to what the person asked for: redacted, rendered, and written to stdout or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from advisor.cli import diagnostics, output
from advisor.cli.diagnostics import CliError
from advisor.document import Diagnosis

if TYPE_CHECKING:
    from advisor.config import Config

Format = Literal["text", "md", "json"]
Flavor = Literal["github", "jira"]
_BY_SUFFIX: dict[str, Format] = {".json": "json", ".md": "md", ".markdown": "md", ".txt": "text"}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """form: None means by the file's suffix, or text. out: None or "-" is stdout."""

    form: Format | None = None
    out: str | None = None
    flavor: Flavor = "github"
    keep: bool = False
    to_stderr: bool = False

    @property
    def path(self) -> Path | None:
        """The file to write, or None."""
        return None if self.out is None or self.out == "-" else Path(self.out)

    @property
    def shape(self) -> Format:
        """The format that was asked for, or that the file's name implies."""
        if self.form is not None:
            return self.form
        return "text" if self.path is None else _BY_SUFFIX.get(self.path.suffix.lower(), "text")


def delivery(
    form: str | None, as_json: bool, out: str | None, flavor: str = "github", keep: bool = False
) -> Delivery:
    """The delivery that options ask for. Raises CliError when --json contradicts --format."""
    if as_json and form not in (None, "json"):
        raise CliError(f"--json and --format {form} contradict each other", "give one of them")
    shape = cast("Format | None", "json" if as_json else form)
    return Delivery(form=shape, out=out, flavor=cast(Flavor, flavor), keep=keep)


def check_writable(wanted: Delivery) -> None:
    """Fail before half a minute of measuring rather than after it."""
    path = wanted.path
    if path is None:
        return
    if path.is_dir():
        raise CliError(f"{path} is a folder", "name a file in it")
    if not path.parent.is_dir():
        raise CliError(
            f"{path.parent} is not a folder, so {path.name} cannot be written there", "create it first"
        )


def deliver(diagnosis: Diagnosis, wanted: Delivery, config: Config | None = None) -> None:
    """Redact (unless --no-redact or the configuration says not to), render and write."""
    from advisor.reports.redact import redact_diagnosis

    keep = wanted.keep or (config is not None and not config.redact)
    shown = redact_diagnosis(diagnosis, keep=keep)

    def draw(width: int, color: bool, unicode: bool) -> str:
        return render(shown, wanted, width=width, color=color, unicode=unicode)

    hand_over(wanted, draw)


def hand_over(wanted: Delivery, draw: Callable[[int, bool, bool], str]) -> None:
    """Write what `draw(width, color, unicode)` makes to where it was asked for. Raises CliError."""
    if wanted.path is not None:
        _to_file(wanted.path, draw(output.DEFAULT_COLUMNS, False, True))
    elif wanted.to_stderr and wanted.out is None:
        diagnostics.write(draw(output.columns(), diagnostics.use_color(), diagnostics.unicode()))
    else:
        output.write(draw(output.columns(), output.use_color(), output.unicode()))


def render(diagnosis: Diagnosis, wanted: Delivery, *, width: int, color: bool, unicode: bool = True) -> str:
    """The document in the shape asked for, ending in a newline. unicode: False for a stream that is ASCII."""
    if wanted.shape == "json":
        from advisor.reports.json import encode, escaped

        text = encode(diagnosis).decode() if unicode else escaped(encode(diagnosis))
    elif wanted.shape == "md":
        from advisor.reports.escape import markup_as_ascii
        from advisor.reports.markdown import render_markdown

        text = render_markdown(diagnosis, flavor=wanted.flavor)
        text = text if unicode else markup_as_ascii(text)
    else:
        from advisor.reports.text import render_text

        text = render_text(diagnosis, width=width, color=color, unicode=unicode)
    return text.rstrip("\n") + "\n"


def _to_file(path: Path, text: str) -> None:
    from advisor.reports.errors import WriteError
    from advisor.reports.files import write_atomic

    try:
        write_atomic(path, text.encode())
    except WriteError as error:
        raise CliError(str(error), error.fix) from error
    diagnostics.note(f"wrote {path}")
