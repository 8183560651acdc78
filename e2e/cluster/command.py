"""Commands: ours, which fail in words that a person can act on, and others', whose last words are kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn


class ExpectedError(RuntimeError):
    """What may go wrong though the code is right; the message says what did, and what to do."""


class CommandError(ExpectedError):
    """A command ended badly; the message has its last words."""


def exit_with(main: Callable[[], int]) -> NoReturn:
    """End this process with `main`'s exit code, or with 1 and one message where it fails as things may."""
    try:
        sys.exit(main())
    except (ExpectedError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def run(command: Sequence[str | Path], **options: Any) -> str:
    """What a command prints; `options` are those of subprocess.run. Raises CommandError."""
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    except FileNotFoundError as error:
        raise CommandError(f"{words[0]} is not installed") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise CommandError(f"{' '.join(words)}: {said or f'exit code {done.returncode}'}")
    return str(done.stdout)


def end_of(log: Path) -> str:
    """A log's last words and where the others are, to be quoted in an error."""
    said = log.read_text(errors="replace") if log.exists() else ""
    return f"{log} ends in\n{said[-2000:].strip()}"
