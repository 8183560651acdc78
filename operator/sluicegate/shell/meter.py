"""What the shell counts. The host turns it into metrics; tests may count for themselves."""

from __future__ import annotations

from typing import Protocol

from sluicegate.shell.keys import Key


class Meter(Protocol):
    """Every method is called once per occurrence; durations are in seconds."""

    def reconciled(self, kind: str, result: str, seconds: float) -> None: ...

    def waited(self, seconds: float) -> None:
        """A key was handed out after this long in the work queue."""

    def retried(self) -> None: ...

    def acted(self, action: str) -> None:
        """An action of this kind was carried out."""

    def stale_sync_skipped(self, kind: str) -> None:
        """A reconcile was put off because the kind's cache missed our own last write."""

    def watch_restarted(self, kind: str, reason: str) -> None: ...

    def event_lost(self) -> None: ...

    def ready(self, key: Key, is_ready: bool) -> None:
        """What a custom resource's status says of itself now."""

    def forgotten(self, key: Key) -> None:
        """The custom resource is gone."""
