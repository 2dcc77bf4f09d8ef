"""Entry point of the `advisor` script and of `python -m advisor`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code.

    `--version` is answered before anything heavier than this file is imported.
    """
    args = sys.argv[1:]
    if args in (["--version"], ["-V"]):
        from advisor import __version__
        from advisor.cli import output

        output.write(f"advisor {__version__}\n")
        sys.exit(0)
    try:
        from advisor.cli.app import run_cli
    except KeyboardInterrupt:  # Ctrl-C while the imports take their tenth of a second
        sys.exit(130)
    sys.exit(run_cli(args))


if __name__ == "__main__":
    main()
