"""What the answers of each model version were like: how they ended, how fast they came, how long they were.

Kept in the pod, so that a rollout can compare two versions where no metrics system is installed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluicegate_engine.answer import Outcome
from sluicegate_engine.sketch import Sketch
from sluicegate_engine.usage import Usage

REQUESTS_OF_A_WINDOW = 4096
"""What is told of a version is its last 4,096 to 8,192 requests: how it did of late. One that serves no more
keeps its figures."""
_VERSIONS_KEPT = 2
_UNANSWERED = "unanswered"

Clock = Callable[[], int]
"""Nanoseconds that only grow."""


class Pace:
    """How one answer came. Begins with a request that is whole, so that its wait in our queue counts.

    `streamed` and `usage` are told by whoever has seen its end.
    """

    def __init__(self, clock: Clock) -> None:
        self.streamed = False
        self.usage: Usage | None = None
        self._clock = clock
        self.began = clock()
        self.admitted: int | None = None
        self.first = 0
        self._parts = 0
        # Of a stream the last two may be usage and the mark of its end.
        self._last: deque[bytes] = deque(maxlen=3)

    def admit(self) -> None:
        """The wait in our queue is over, and the engine's turn begins."""
        self.admitted = self._clock()

    def part(self, body: bytes) -> None:
        """Take note of a part of the answer, which is not empty. Called for each token of each stream."""
        if not self._parts:
            self.first = self._clock()
        self._parts += 1
        self._last.append(body)

    @property
    def answered(self) -> bool:
        return self._parts > 0

    @property
    def tail(self) -> bytes:
        """The end of the answer, in which vLLM tells the finish reason."""
        return b"".join(self._last)

    def phases(self, end: int) -> list[tuple[str, int, int]]:
        """What the time until `end` was spent in: name, beginning and end of each."""
        if self.admitted is None:
            return [("queue", self.began, end)]
        queue = ("queue", self.began, self.admitted)
        if not (self.streamed and self.answered):
            return [queue]
        return [queue, ("prefill", self.admitted, self.first), ("decode", self.first, end)]

    def measure(self, into: Window) -> None:
        """Add an answer that is whole. Only of a stream is the first token seen."""
        end, tokens = self._clock(), self.tokens()
        into.latency.add((end - self.began) // 1000)
        if tokens is not None:
            into.tokens.add(tokens)
        if self.streamed and self.answered:
            into.first_token.add((self.first - self.began) // 1000)
        if (per_token := self.per_token(end, tokens)) is not None:
            into.per_token.add(per_token // 1000)

    def per_token(self, end: int, tokens: int | None) -> int | None:
        """Nanoseconds from one of so many tokens to the next; None where no two were seen to come."""
        if not (self.streamed and self.answered) or tokens is None or tokens < 2:
            return None
        return (end - self.first) // (tokens - 1)

    def tokens(self) -> int | None:
        """As vLLM counted them; of a stream that broke off its events, each of which has a token or more."""
        if self.usage is not None:
            return self.usage.output_tokens
        return self._parts if self.streamed else None


@dataclass
class Window:
    """Some requests: counts by outcome, times in microseconds, lengths of answers in tokens."""

    outcomes: Counter[str] = field(default_factory=Counter)
    first_token: Sketch = field(default_factory=Sketch)
    per_token: Sketch = field(default_factory=Sketch)
    latency: Sketch = field(default_factory=Sketch)
    tokens: Sketch = field(default_factory=Sketch)

    def __add__(self, other: Window) -> Window:
        return Window(
            self.outcomes + other.outcomes,
            self.first_token + other.first_token,
            self.per_token + other.per_token,
            self.latency + other.latency,
            self.tokens + other.tokens,
        )

    def encode(self) -> dict[str, object]:
        return {
            "outcomes": dict(self.outcomes),
            "timeToFirstTokenMicroseconds": self.first_token.encode(),
            "timePerOutputTokenMicroseconds": self.per_token.encode(),
            "latencyMicroseconds": self.latency.encode(),
            "outputTokens": self.tokens.encode(),
        }


class Measurements:
    """Of each of the last versions, the window that is being filled and the full one before it."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[Window, Window]] = {}

    def count(self, version: str, outcome: Outcome, pace: Pace | None = None) -> None:
        """A request has ended. `pace` is given of one that the engine was asked for."""
        window = self._open(version)
        unanswered = outcome is Outcome.DISCONNECTED and not (pace and pace.answered)
        window.outcomes[_UNANSWERED if unanswered else outcome.value] += 1
        if pace is not None and outcome is Outcome.SERVED:
            pace.measure(window)

    def encode(self) -> dict[str, object]:
        """By version."""
        return {version: (before + now).encode() for version, (before, now) in self._windows.items()}

    def _open(self, version: str) -> Window:
        before, now = self._windows.get(version) or (Window(), Window())
        if now.outcomes.total() >= REQUESTS_OF_A_WINDOW:
            before, now = now, Window()
        self._windows[version] = (before, now)
        while len(self._windows) > _VERSIONS_KEPT:
            del self._windows[next(iter(self._windows))]
        return now
