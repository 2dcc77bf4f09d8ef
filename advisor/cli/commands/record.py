"""`advisor record`: keep the sample stream in a file."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import duration_option, interval_option, keep_option, serving_option


@click.command("record")
@click.argument("file", type=click.Path(dir_okay=False))
@duration_option(None, "How long to record. Default: until Ctrl-C.")
@interval_option
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@serving_option
@keep_option
def command(
    file: str, duration: float | None, interval: float | None, force: bool, no_serving: bool, keep: bool
) -> int:
    """Record what is sampled into FILE as JSON Lines; gzip when FILE ends in .gz.

    The file is complete up to the last second at any moment, also when advisor is killed. Show it with
    `advisor replay FILE`.
    """
    from advisor.cli.inputs import load_config
    from advisor.cli.recording import record

    config = load_config(interval_s=interval, serving=False if no_serving else None)
    return record(file, config, duration_s=duration, force=force, keep=keep)
