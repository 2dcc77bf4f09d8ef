"""Options shared by commands, and the types of their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.core import ParameterSource

from advisor.cli.durations import parse_duration

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
else:
    _Seconds = click.ParamType  # not generic at run time in every click we support
MAX_USD_H = 10_000
FORMATS = ("text", "md", "json")
# What a diagnosis can be rendered as besides.
DIAGNOSIS_FORMATS = (*FORMATS, "html", "csv")
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


class NumberType(click.FloatRange):
    """A number within a range. Click's own type lets NaN through, as it compares as neither out nor in."""

    def __init__(self, wanted: str, most: float) -> None:
        super().__init__(min=0, min_open=True, max=most)
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error that says what is accepted."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number <= float(self.max or math.inf):
            self.fail(f"{str(value)!r} is not {self._wanted}", param, ctx)
        return number


class WholeType(click.IntRange):
    """A whole number within a range, named as people name it."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error that says what is accepted."""
        least, most = int(self.min or 0), None if self.max is None else int(self.max)
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            upto = f" to {most:.7g}" if most is not None and most < 2**62 else " on"
            self.fail(f"{str(value)!r} is no whole number from {least}{upto}", param, ctx)
        return number


DURATION = DurationType()
PRICE = NumberType(f"dollars per GPU and hour, above 0 and at most {MAX_USD_H}; write 2.50", MAX_USD_H)
SPEED = NumberType("a speed above 0 and at most 1000; 2 is twice real time", 1000)

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
stacks_option = click.option(
    "--stacks",
    is_flag=True,
    help="Also sample the stacks of each GPU's main process with py-spy, from outside, without a pause.",
)
native_option = click.option(
    "--native",
    is_flag=True,
    help="With C and CUDA frames; implies --stacks, and pauses the process for milliseconds a sample.",
)
serving_option = click.option(
    "--no-serving",
    "no_serving",
    is_flag=True,
    help="Do not ask inference engines on this node's loopback ports for their metrics.",
)


def json_option_of(kind: str = "") -> Decorator:
    """--json of what `advisor schema KIND` describes; without a kind, a diagnosis or more than one thing."""
    said = f"advisor schema {kind}".strip()
    return click.option("--json", "as_json", is_flag=True, help=f"Print JSON that is valid by `{said}`.")


json_option = json_option_of()
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Default: by the suffix of FILE given to -o, or text.",
)
diagnosis_format_option = click.option(
    "--format",
    "form",
    type=click.Choice(DIAGNOSIS_FORMATS),
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
    "--no-redact",
    "keep",
    is_flag=True,
    help="Keep secrets, user names and home paths. Host names are hashed as they are read, and stay so.",
)

select_option = click.option(
    "--select",
    multiple=True,
    metavar="CODES",
    help="Report these rules alone: codes or beginnings such as HOST, comma-separated.",
)
ignore_option = click.option(
    "--ignore",
    multiple=True,
    metavar="CODES",
    help="Leave these rules' findings out, and say so; the longer of two matching words decides.",
)

history_option = click.option(
    "--history/--no-history",
    "history",
    default=None,
    help="Keep the diagnosis for `advisor history`. Default: by configuration, and never synthetic data.",
)


def typed(ctx: click.Context, *names: str) -> list[str]:
    """Options that stand on the command line itself; of all parameters, or of those named.

    One that means nothing where it stands is refused with this, rather than ignored.
    """
    return [
        param.opts[-1]
        for param in ctx.command.params
        if (not names or param.name in names)
        and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
    ]


def duration_option(default: str | None, help_text: str) -> Decorator:
    """--duration with this command's own default."""
    return click.option(
        "--duration", type=DURATION, default=default, show_default=bool(default), help=help_text
    )


def select_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which rules' findings are reported."""
    for option in (ignore_option, select_option):
        command = option(command)
    return command


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Everything about the shape of a printed report."""
    for option in reversed((format_option, json_option, out_option, flavor_option, keep_option)):
        command = option(command)
    return command


def diagnosis_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a diagnosis, which can also become a page or a table."""
    options = (diagnosis_format_option, json_option, out_option, flavor_option, keep_option)
    for option in reversed(options):
        command = option(command)
    return command
