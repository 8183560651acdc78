"""Whether the engine gets anywhere, judged by what it has done and by time. Pure: the clock is the caller's.

What clients get is no measure of it: one that does not read holds its own answer up, and the comments that
keep a stream open come from a server whose engine may stand. Nor is their number: a saturated engine and a
long prefill are as busy as a stuck one. So only the engine's own work counts, and where none is seen it is
asked for a token, whether anybody else wants something of it or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

Work = tuple[float, ...]
"""What vLLM counts of the engine's work; see work.py. Any difference is progress."""
_LOOKS = 50
"""So often is an engine looked at before it is given up."""
_LATE = 4
"""Ticks between two looks that count at most."""


class Verdict(Enum):
    FINE = auto()
    DOUBTFUL = auto()
    """Ask it for a token: either there was nothing to do, or it does nothing."""
    STUCK = auto()


@dataclass(frozen=True)
class Patience:
    """Seconds without progress: `doubt` until a token is asked for, `stuck` until the engine is given up.

    `first` is in place of `stuck` while users' first requests are in the engine, which may have to compile
    for them what the warm-up did not need.
    """

    doubt: float
    stuck: float
    first: float

    @property
    def tick(self) -> float:
        """Seconds between two looks."""
        return self.stuck / _LOOKS


class Liveness:
    """`still`: the seconds without progress, as far as somebody was awake to look."""

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._looked = now
        self._work: Work | None = None
        self.still = 0.0

    def moved(self) -> None:
        """It has done something."""
        self.still = 0.0

    def take(self, work: Work) -> None:
        """Compare with what was counted before. Where vLLM counts nothing, that it says so has to do."""
        if not work or work != self._work:
            self.moved()
        self._work = work

    def judge(self, now: float, *, first: bool) -> Verdict:
        """Let time pass until `now`. `first`: users have requests in the engine and no answer yet."""
        # Who looks so late was itself standing still (a frozen node, a SIGSTOP) and knows nothing of others.
        self.still += min(now - self._looked, _LATE * self._patience.tick)
        self._looked = now
        if self.still >= (self._patience.first if first else self._patience.stuck):
            return Verdict.STUCK
        return Verdict.DOUBTFUL if self.still >= self._patience.doubt else Verdict.FINE
