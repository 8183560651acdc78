"""The command line: finds the command, runs it and turns what went wrong into a message and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Sequence
from importlib import metadata
from typing import NoReturn

from sluicegate.cli import crds, explain, golden, render, rollout, run, status, uninstall
from sluicegate.cli.command import Command, CommandError, Exit, Group, add_commands

COMMANDS: tuple[Command | Group, ...] = (
    run.COMMAND,
    crds.COMMAND,
    render.COMMAND,
    status.COMMAND,
    explain.COMMAND,
    rollout.GROUP,
    golden.GROUP,
    uninstall.COMMAND,
)


class _Version(argparse.Action):
    """Asks for the version only where it is asked for: it is read from the installed distribution."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"sluicegate {metadata.version('sluicegate')}")
        parser.exit(Exit.OK)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """argparse's own exit code is 2, which here means a timeout."""
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE_OR_PERMISSION, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="sluicegate", description="Serve language models on Kubernetes.")
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    add_commands(top, COMMANDS)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; usage errors exit with 5."""
    args = parser().parse_args(argv)
    try:
        return (
            asyncio.run(_awaited(outcome))
            if isinstance(outcome := args.command.run(args), Awaitable)
            else outcome
        )
    except CommandError as error:
        print(f"sluicegate: {error}", file=sys.stderr)
        return error.code
    except (KeyboardInterrupt, BrokenPipeError):
        return Exit.INTERRUPTED


async def _awaited(outcome: Awaitable[int]) -> int:
    return await outcome
