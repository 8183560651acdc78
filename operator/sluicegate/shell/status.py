"""Writes status, and only where it says something new: a write of the same status would never end."""

from __future__ import annotations

from typing import Any

from sluicegate.core.naming import digest_of
from sluicegate.core.objects import Manifest
from sluicegate.kube.errors import NotFound
from sluicegate.shell.apply import Applier
from sluicegate.shell.keys import Key, key_of


class StatusWriter:
    """Keeps a status ours alone: an apply leaves what others own of it, so that is taken out afterwards.

    It remembers, by key, a status that was sent and what the API server made of it. The two differ for ever
    where its definitions know less than we do, and time and again where somebody else keeps on adding.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._sent: dict[Key, tuple[str, str]] = {}

    async def write(self, custom_resource: Manifest, status: Manifest | None) -> bool:
        """Bring the status to this one; returns whether it was news. Raises ApiError.

        A custom resource that is gone by now needs none.
        """
        if status is None:
            return True
        live, wanted = _plain(custom_resource.get("status") or {}), _plain(status)
        if wanted == live or self._sent.get(key_of(custom_resource)) == (_digest(wanted), _digest(live)):
            return False
        try:
            stored = await self._applier.write_status(custom_resource, status)
            foreign = _surplus(stored.get("status") or {}, status)
            if foreign:
                await self._applier.amend_status(stored, foreign)
        except NotFound:
            return True
        made = _plain(stored.get("status") or {})
        self._sent[key_of(custom_resource)] = (_digest(wanted), _digest(made))
        return True

    def forget(self, key: Key) -> None:
        self._sent.pop(key, None)


def _surplus(stored: Manifest, wanted: Manifest) -> dict[str, Any]:
    """The merge patch that takes out of a stored status what is not wanted; empty where there is nothing."""
    patch: dict[str, Any] = {}
    for field, value in stored.items():
        want = wanted.get(field)
        if isinstance(value, dict) and isinstance(want, dict):
            patch |= {field: below} if (below := _surplus(value, want)) else {}
        elif want is None or (isinstance(value, list) and _plain(value) != _plain(want)):
            patch[field] = want
    return patch


def _digest(plain: Any) -> str:
    return digest_of(plain, 64)


def _plain(value: Any) -> Any:
    """What is equal for statuses that say the same: the order of conditions says nothing, nor does a null."""
    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items() if each is not None}
        case list() | tuple():
            plain = [_plain(each) for each in value]
            named = all(isinstance(each, dict) and "type" in each for each in plain)
            return sorted(plain, key=lambda each: each["type"]) if named else plain
    return value
