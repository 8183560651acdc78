"""How fast the queue empties, and so when whoever found it full should come again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

REMEMBERED = 64
LEAST_SECONDS, MOST_SECONDS = 1, 60
_SECOND = 1_000_000_000


class Drain:
    """Of the last 64 requests that left the queue since it was empty last: when they did.

    `clock` gives nanoseconds that only grow.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._times: deque[int] = deque(maxlen=REMEMBERED + 1)

    def begin(self) -> None:
        """The first request waits in a queue that was empty."""
        self._times.clear()
        self._times.append(self._clock())

    def left(self) -> None:
        """A request has left the queue, wherever it went."""
        self._times.append(self._clock())

    def retry_after(self, waiting: int) -> int:
        """Seconds, as `retry_after` says, with `waiting` requests in the queue."""
        if not self._times:
            return LEAST_SECONDS
        return retry_after(waiting, len(self._times) - 1, self._clock() - self._times[0])


def retry_after(waiting: int, left: int, nanoseconds: int) -> int:
    """Whole seconds, 1 to 60, that those who wait need to leave, as `left` did in so many nanoseconds.

    Where nobody has left yet, somebody is taken to do so now: the longer that is not so, the longer it takes.
    """
    seconds = -(-waiting * nanoseconds // (max(left, 1) * _SECOND))
    return min(max(seconds, LEAST_SECONDS), MOST_SECONDS)
