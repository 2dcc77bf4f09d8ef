"""Options shared by commands, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click

from advisor.cli.durations import parse_duration

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
else:
    _Seconds = click.ParamType  # not generic at run time in every click we support
FORMATS = ("text", "md", "json")
FLAVORS = ("github", "jira")


class DurationType(_Seconds):
    """30s, 2m, 500ms, 1h; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, or a usage error."""
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()
PRICE = click.FloatRange(min=0, min_open=True, max=100_000)

gpu_option = click.option(
    "--gpu",
    metavar="SEL",
    help="Indices, UUIDs or MIG UUIDs, comma-separated. Default: CUDA_VISIBLE_DEVICES, or every GPU.",
)
interval_option = click.option(
    "--interval", type=DURATION, help="Time between samples. Default: configuration, or 1s."
)
price_option = click.option(
    "--price",
    type=PRICE,
    metavar="USD_H",
    help="Dollars per hour of one whole GPU, instead of the bundled price.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON that is valid by `advisor schema`."
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Default: by the suffix of FILE given to -o, or text.",
)
flavor_option = click.option(
    "--flavor",
    type=click.Choice(FLAVORS),
    default="github",
    show_default=True,
    help="Markdown dialect and size limit.",
)
out_option = click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE",
    help="Write the report to FILE (mode 0600, in one step) instead of stdout; - is stdout.",
)
keep_option = click.option(
    "--no-redact", "keep", is_flag=True, help="Keep user names, host name and full command lines."
)


def duration_option(default: str | None, help_text: str) -> Decorator:
    """--duration with this command's own default."""
    return click.option(
        "--duration", type=DURATION, default=default, show_default=bool(default), help=help_text
    )


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Everything about the shape of a printed report."""
    for option in reversed((format_option, json_option, out_option, flavor_option, keep_option)):
        command = option(command)
    return command
