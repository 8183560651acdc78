"""`sluicegate run`: the operator itself."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from sluicegate import settings
from sluicegate.cli.command import Command, CommandError, Exit


def _add_arguments(parser: ArgumentParser) -> None:
    settings.add_arguments(parser, os.environ)


async def _run(args: Namespace) -> int:
    # Imported here: the other commands need neither the operator's parts nor their start-up time.
    from sluicegate import app

    try:
        chosen = settings.from_arguments(args)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE_OR_PERMISSION) from error
    return await app.run(chosen)


COMMAND = Command("run", "run the operator", _add_arguments, _run)
