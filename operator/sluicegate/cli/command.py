"""What a command of the CLI is, and how one ends: exit codes are part of its contract."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

Run = Callable[[Namespace], int | Awaitable[int]]


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    TIMEOUT = 2
    SUPERSEDED = 3
    AWAITING_PROMOTION = 4
    USAGE_OR_PERMISSION = 5
    INTERRUPTED = 130
    """By Ctrl-C, or by a reader of the output that went away."""


class CommandError(Exception):
    """Ends the command with a message for the user and an exit code."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Command:
    """One command: `add_arguments` declares its flags, `run` carries it out and returns an exit code."""

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Run


@dataclass(frozen=True)
class Group:
    """Commands about one thing, under its name."""

    name: str
    summary: str
    commands: tuple[Command, ...]

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_commands(parser, self.commands)


def add_commands(parser: ArgumentParser, commands: Iterable[Command | Group]) -> None:
    """Make the parser choose one of them; the one chosen is `command` among the arguments."""
    choices = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        sub = choices.add_parser(command.name, help=command.summary, description=_sentence(command.summary))
        command.add_arguments(sub)
        sub.set_defaults(command=command)


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:]}."


def add_cluster_flags(parser: ArgumentParser) -> None:
    """The flags of kubectl that say which cluster."""
    parser.add_argument(
        "--context", default=None, help="context of the kubeconfig; left out, the current one"
    )
    parser.add_argument(
        "--kubeconfig", default=None, help="path of the kubeconfig; left out, $KUBECONFIG or ~/.kube/config"
    )


def add_object_flags(parser: ArgumentParser) -> None:
    """Which LLMDeployment, and where."""
    parser.add_argument("name", help="name of the LLMDeployment")
    parser.add_argument("-n", "--namespace", default=None, help="namespace; left out, the context's own")
    add_cluster_flags(parser)


def add_report_flags(parser: ArgumentParser) -> None:
    """Of a command that tells about one LLMDeployment."""
    add_object_flags(parser)
    add_output_flag(parser)


def add_output_flag(parser: ArgumentParser) -> None:
    """What the answer is written for: people or programs."""
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="default text")
