"""Starts the `maesil` command, as the console script and as `python -m MAESILCore`."""

from __future__ import annotations

import sys

from MAESILCore.errors import MissingPackageError
from MAESILCore.optional import require


def main() -> int:
    """Run the command line, or report the missing packages of a base installation."""
    try:
        require("typer", "The maesil command")
        require("rich", "The maesil command")
    except MissingPackageError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2

    from MAESILCore import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
