"""Progress a person can follow: what is being waited for, and for how long already."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from e2e.cluster.command import CommandError, ExpectedError, end_of


class WaitError(ExpectedError):
    """Something waited for did not come; the message says what to look at."""


class Progress:
    """Prints one line a step, stamped with the seconds since the start."""

    def __init__(self, out: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._start = clock()

    def say(self, message: str) -> None:
        print(f"[{self._clock() - self._start:6.1f}s] {message}", file=self._out, flush=True)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Announce a step and how long it took."""
        self.say(f"{what} ...")
        begun = self._clock()
        yield
        self.say(f"{what}: done in {self._clock() - begun:.1f}s")

    def wait(
        self,
        describe: Callable[[], str | None],
        limit_seconds: float,
        every_seconds: float = 0.2,
        news_seconds: float = 1,
    ) -> None:
        """Wait until `describe` returns None; until then it returns what is still missing.

        A change of that is told after `news_seconds`, the same again after 5 s. Raises WaitError with the
        last description after `limit_seconds`.
        """
        begun = said_at = self._clock()
        said = ""
        while (missing := describe()) is not None:
            now = self._clock()
            if now - begun > limit_seconds:
                raise WaitError(f"gave up after {limit_seconds:.0f}s: waiting for {missing}")
            if now - said_at >= (news_seconds if missing != said else 5):
                self.say(f"waiting for {missing}")
                said, said_at = missing, now
            time.sleep(every_seconds)

    @contextmanager
    def alone(self, lock: Path) -> Iterator[None]:
        """Hold a lock file, which ends with this process; says so while another one holds it."""
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            self.wait(lambda: None if _taken(file) else f"another process, which holds {lock}", 3600)
            yield

    def run(self, what: str, command: Sequence[str], log: Path, **options: Any) -> None:
        """Run a long command with its output in `log`, of which the last line is shown meanwhile.

        `options` are those of subprocess.Popen. Raises CommandError.
        """
        with log.open("wb") as output:
            tied = ["setpriv", "--pdeathsig", "TERM", "--", *command]  # it ends with whoever waits for it
            process = subprocess.Popen(
                tied, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            )

        def missing() -> str | None:
            return None if process.poll() is not None else f"{what}: {_last_line(log)}".rstrip(": ")

        try:
            self.wait(missing, limit_seconds=3600, news_seconds=5)
        finally:
            process.kill()
            code = process.wait()
        if code:
            raise CommandError(f"{what} failed with code {code}: {end_of(log)}")


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").rstrip().rsplit("\n", 1)
    return " ".join(lines[-1].split())[:100]
