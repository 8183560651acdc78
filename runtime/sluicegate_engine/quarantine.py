"""Which requests are kept from the engine, because it has died with them again and again.

Nobody can tell which of the requests that an engine died with was to blame. So each of them is a suspect, and
an answer clears it: who is merely there at every death gets an answer between two of them, and who kills gets
none. Pure: no I/O, and no clock but the one that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import NamedTuple

from sluicegate_engine.fingerprint import Fingerprint

DEATHS = 2
"""Deaths without an answer in between, after which a request is refused."""
REMEMBERED = 1000
_SECOND = 1_000_000_000


class Suspect(NamedTuple):
    """`deaths` of an engine with this request in it, and no answer to it since the first of them.

    `seconds`: for how long engines have been up since the last of them.
    """

    deaths: int
    seconds: float = 0

    @property
    def quarantined(self) -> bool:
        return self.deaths >= DEATHS


Suspects = Mapping[Fingerprint, Suspect]


def after_death(
    suspects: Suspects, present: Collection[Fingerprint], cleared: Collection[Fingerprint], seconds: float
) -> dict[Fingerprint, Suspect]:
    """The suspects once an engine has died that was up for `seconds`, the latest last.

    `present` were with it, `cleared` are suspects that it had given an answer. Of too many the oldest are
    forgotten.
    """
    left = {each: suspect for each, suspect in suspects.items() if each not in cleared}
    absent = {each: Suspect(n, s + seconds) for each, (n, s) in left.items() if each not in present}
    struck = {each: Suspect(left[each].deaths + 1 if each in left else 1) for each in present}
    together = absent | struck
    return dict(islice(together.items(), max(0, len(together) - REMEMBERED), None))


class Quarantine:
    """Decides for one engine, which comes up now. `clock` gives nanoseconds that only grow.

    Who is in quarantine is refused until engines have been up for `seconds` without it, and may then be
    tried: one at a time, so that an engine that dies of one of them casts no new suspicion on the others.
    """

    def __init__(self, suspects: Suspects, seconds: float, clock: Callable[[], int]) -> None:
        self._suspects = dict(suspects)
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self._on_trial: Fingerprint | None = None

    def takes(self, request: Fingerprint) -> bool:
        """Whether a request may go on. If so, `leave` must follow."""
        suspect = self._suspects.get(request)
        if suspect is None or not suspect.quarantined:
            return True
        if self._on_trial is not None or suspect.seconds + self._up_seconds < self._seconds:
            return False
        self._on_trial = request
        return True

    def leave(self, request: Fingerprint) -> None:
        """It has ended, however."""
        if request == self._on_trial:
            self._on_trial = None

    def clear(self, request: Fingerprint) -> bool:
        """It was answered: nothing is held against it any more. False where nothing was."""
        return self._suspects.pop(request, None) is not None

    @property
    def _up_seconds(self) -> float:
        return (self._clock() - self._began) / _SECOND
