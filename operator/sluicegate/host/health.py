"""Whether this process should get work (ready) and whether it should be restarted (healthy)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sluicegate.shell.informer import Informer

SILENCE_SECONDS = 150.0


class Health:
    """`clock` is the event loop's. Standbys are ready too: their caches are warm."""

    def __init__(
        self, informers: Iterable[Informer], host_is_alive: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._informers = tuple(informers)
        self._host_is_alive = host_is_alive
        self._clock = clock
        self._started = clock()

    def silence(self, kind: str) -> float:
        """Seconds since the API server last sent anything about a kind, of its quietest watch."""
        return max(self._silence(each) for each in self._informers if each.kind == kind)

    def unready(self) -> tuple[str, ...]:
        """What is missing for work to be done; empty when ready."""
        empty = (each for each in self._informers if not each.synced.is_set())
        return tuple(f"the cache of {each.kind} is not filled yet" for each in empty)

    def unhealthy(self) -> tuple[str, ...]:
        """Why a restart may help; empty when healthy."""
        silent = tuple(
            f"nothing was heard of {each.kind} for {SILENCE_SECONDS:.0f} s"
            for each in self._informers
            if self._silence(each) > SILENCE_SECONDS
        )
        return silent if self._host_is_alive() else (*silent, "the watch of custom resources has ended")

    def _silence(self, informer: Informer) -> float:
        return self._clock() - (self._started if informer.heard_at is None else informer.heard_at)
