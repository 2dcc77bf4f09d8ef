"""Reports of files: a saved diagnosis or a recording, rendered; its charts as images beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from advisor.cli import diagnostics
from advisor.cli.delivery import SHAPES, Delivery, check_writable, delivery, hand_over, redacted, render
from advisor.cli.diagnostics import CliError, ExitCode
from advisor.cli.documents import diagnosis_from, refuse_price
from advisor.cli.inputs import load_config
from advisor.cli.ruleset import chosen
from advisor.document import Diagnosis

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.reports.png import Image

_ILLUSTRATED = frozenset({"html", "md"})


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as typed. form: None is by the suffix of `out`. top: kernels of a trace to list."""

    form: str | None = None
    as_json: bool = False
    out: str | None = None
    images: bool = False
    flavor: str = "github"
    price: float | None = None
    keep: bool = False
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    top: int | None = None

    @property
    def only_images(self) -> bool:
        """Whether the charts alone were asked for."""
        by_name = self.form is None and not self.as_json and (self.out or "").lower().endswith(".png")
        return self.form == "png" or by_name


def report(path: str, wish: Wish) -> ExitCode:
    """Read, choose, redact, render, write. Raises CliError for what cannot be read or written."""
    wanted = where_to(wish)
    config = load_config(**(chosen(wish.select, wish.ignore) if wish.select or wish.ignore else {}))
    present(_chosen(path, wish, config.select, config.ignore), wish, wanted, config)
    return ExitCode.OK


def where_to(wish: Wish) -> Delivery:
    """Where the report goes. Raises CliError for what cannot be written there."""
    wanted = _delivery(wish)
    check_writable(wanted, None if wish.only_images else SHAPES)
    return wanted


def present(diagnosis: Diagnosis, wish: Wish, wanted: Delivery, config: Config) -> None:
    """Redact a document, draw it and its images, and write them."""
    shown = redacted(diagnosis, wanted, config)
    made = _images(shown, wanted) if wish.images or wish.only_images else ()
    if not wish.only_images:

        def draw(width: int, color: bool, unicode: bool) -> str:
            return render(shown, wanted, width=width, color=color, unicode=unicode, images=made)

        hand_over(wanted, draw)


def _delivery(wish: Wish) -> Delivery:
    """Where the report goes. Raises CliError for images that have no place to be written to."""
    if wish.only_images and wish.as_json:
        raise CliError("--json and --format png contradict each other", "give one of them")
    form = None if wish.only_images else wish.form
    wanted = msgspec.structs.replace(
        delivery(form, wish.as_json, wish.out, wish.flavor, wish.keep), top=wish.top
    )
    if not wish.only_images and not wish.images:
        return wanted
    if wanted.path is None:
        raise CliError("images are files, and there is no name for them", "give -o FILE")
    if wish.images and not wish.only_images and wanted.shape not in _ILLUSTRATED:
        raise CliError(
            f"--images goes with an HTML or Markdown report, not with {wanted.shape}",
            "give -o FILE.html, or --format png for the images alone",
        )
    return wanted


def _chosen(path: str, wish: Wish, select: str, ignore: str) -> Diagnosis:
    """The file's diagnosis with the findings that were asked for."""
    from advisor.selection import parse_selection

    refuse_price(wish.price, path)
    selection = parse_selection(select, ignore)
    return selection.applied(diagnosis_from(path, wish.price))


def _images(shown: Diagnosis, wanted: Delivery) -> Sequence[Image]:
    from advisor.reports.errors import WriteError
    from advisor.reports.png import write_images

    try:
        made = write_images(shown, wanted.path or Path("report"))
    except WriteError as error:
        raise CliError(str(error), error.fix) from error
    if made:
        folder = (wanted.path or Path()).parent
        more = f" and {len(made) - 1} more images beside it" if len(made) > 1 else ""
        diagnostics.note(f"wrote {folder / made[0].name}{more}")
    else:
        diagnostics.note("the document has no figures for a chart")
    return made
