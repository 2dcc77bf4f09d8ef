"""From a Diagnosis to what the person asked for: redacted, rendered, and written to stdout or a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from advisor.cli import diagnostics, output
from advisor.cli.diagnostics import CliError
from advisor.document import Diagnosis

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.reports.png import Image

Format = Literal["text", "md", "json", "html", "csv"]
Flavor = Literal["github", "jira"]
_BY_SUFFIX: dict[str, Format] = {
    ".json": "json",
    ".md": "md",
    ".markdown": "md",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
}
SHAPES: tuple[Format, ...] = ("text", "md", "json", "html", "csv")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """form: None means by the file's suffix, or text. out: None or "-" is stdout.

    top: how many kernels of a trace to list; None leaves it to the format.
    """

    form: Format | None = None
    out: str | None = None
    flavor: Flavor = "github"
    keep: bool = False
    to_stderr: bool = False
    top: int | None = None

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


def check_writable(wanted: Delivery, shapes: Sequence[Format] | None = SHAPES) -> None:
    """Fail before half a minute of measuring rather than after it.

    shapes: what the command can write, of which a file's name may choose; None where names choose nothing.
    """
    path = wanted.path
    if path is None:
        return
    if wanted.form is None and shapes is not None:
        _check_suffix(path, shapes)
    if path.is_dir():
        raise CliError(f"{path} is a folder", "name a file in it")
    if not path.parent.is_dir():
        raise CliError(
            f"{path.parent} is not a folder, so {path.name} cannot be written there", "create it first"
        )


def _check_suffix(path: Path, shapes: Sequence[Format]) -> None:
    """A name without a suffix is text; one that promises something else is refused."""
    suffix = path.suffix.lower()
    if not suffix or (path.exists() and not path.is_file()) or _BY_SUFFIX.get(suffix) in shapes:
        return
    known = ", ".join(f".{shape}" if shape != "text" else ".txt" for shape in shapes)
    images = "; advisor report makes images" if suffix == ".png" else ""
    raise CliError(
        f"{path.name}: nothing is written as {suffix} here",
        f"end the name in one of {known}, or say the format by an option{images}",
    )


def deliver(diagnosis: Diagnosis, wanted: Delivery, config: Config | None = None) -> None:
    """Redact (unless --no-redact or the configuration says not to), render and write."""
    shown = redacted(diagnosis, wanted, config)

    def draw(width: int, color: bool, unicode: bool) -> str:
        return render(shown, wanted, width=width, color=color, unicode=unicode)

    hand_over(wanted, draw)


def redacted(diagnosis: Diagnosis, wanted: Delivery, config: Config | None = None) -> Diagnosis:
    """The document as it may leave the node."""
    from advisor.reports.redact import redact_diagnosis

    return redact_diagnosis(diagnosis, keep=wanted.keep or (config is not None and not config.redact))


def hand_over(wanted: Delivery, draw: Callable[[int, bool, bool], str]) -> None:
    """Write what `draw(width, color, unicode)` makes to where it was asked for. Raises CliError."""
    if wanted.path is not None:
        _to_file(wanted.path, draw(output.DEFAULT_COLUMNS, False, True))
    elif wanted.to_stderr and wanted.out is None:
        diagnostics.write(draw(output.columns(), diagnostics.use_color(), diagnostics.unicode()))
    else:
        output.write(draw(output.columns(), output.use_color(), output.unicode()))


def render(
    diagnosis: Diagnosis,
    wanted: Delivery,
    *,
    width: int,
    color: bool,
    unicode: bool = True,
    images: Sequence[Image] = (),
) -> str:
    """The document in the shape asked for, ending in a newline. unicode: False for a stream that is ASCII.

    images: that lie beside it, for a shape that can name them.
    """
    if wanted.shape == "csv":
        return _csv(diagnosis, unicode)
    if wanted.shape == "json":
        text = _json(diagnosis, unicode)
    elif wanted.shape == "md":
        text = _markdown(diagnosis, wanted, unicode, images)
    elif wanted.shape == "html":
        text = _html(diagnosis, wanted, unicode, images)
    else:
        from advisor.reports.text import render_text

        text = render_text(diagnosis, width=width, color=color, unicode=unicode, top=wanted.top)
    return text.rstrip("\n") + "\n"


def _json(diagnosis: Diagnosis, unicode: bool) -> str:
    from advisor.reports.json import encode
    from advisor.reports.jsontext import escaped

    text = encode(diagnosis).decode()
    return text if unicode else escaped(text)


def _markdown(diagnosis: Diagnosis, wanted: Delivery, unicode: bool, images: Sequence[Image]) -> str:
    from advisor.reports.escape import markup_as_ascii
    from advisor.reports.markdown import render_markdown

    text = render_markdown(diagnosis, flavor=wanted.flavor, top=wanted.top)
    if images:
        from advisor.reports.png import image_links

        text = f"{text.rstrip()}\n\n{image_links(images, wanted.flavor)}"
    return text if unicode else markup_as_ascii(text)


def _html(diagnosis: Diagnosis, wanted: Delivery, unicode: bool, images: Sequence[Image]) -> str:
    from advisor.reports.html import render_html

    text = render_html(diagnosis, tuple(image.name for image in images), top=wanted.top)
    return text if unicode else text.encode("ascii", "xmlcharrefreplace").decode()


def _csv(diagnosis: Diagnosis, unicode: bool) -> str:
    """Lines end as RFC 4180 has it."""
    from advisor.reports.csv import render_csv
    from advisor.reports.escape import as_ascii

    return render_csv(diagnosis) if unicode else as_ascii(render_csv(diagnosis))


def _to_file(path: Path, text: str) -> None:
    from advisor.reports.errors import WriteError
    from advisor.reports.files import write_atomic

    try:
        write_atomic(path, text.encode())
    except WriteError as error:
        raise CliError(str(error), error.fix) from error
    diagnostics.note(f"wrote {path}")
