"""Has the store container bring a model: it alone reaches the sources, and writes to their volume."""

from __future__ import annotations

from collections.abc import Iterable

import aiohttp

from sluicegate_engine.pointer import Target
from sluicegate_engine.reload.refusal import RefusedError, restart_required

ELSEWHERE = {
    "SourceNotFound": "SourceUnreachable",
    "SourceUnreachable": "SourceUnreachable",
    "SourceForbidden": "SourceUnreachable",
    "InsufficientDisk": "InsufficientDisk",
    "StoreFailed": "StoreFailed",
}
"""The store's reasons that lie in this pod, its mounts, credentials and volume: a new one may have others."""
_CONNECT_SECONDS = 5
_UNBOUNDED = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)


class StoreClient:
    """`url` is the store's port for orders on the pod's loopback."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ingest(self, target: Target, keep: Iterable[Target]) -> None:
        """Return when the target's verified files are in place. All but those of `keep` may go for them.

        Raises RefusedError: RestartRequired where a new pod may reach them, else IngestFailed.
        """
        order = {**target.as_json(), "keep": [each.digest for each in keep]}
        try:
            async with self._session.post(f"{self._url}/ingest", json=order, timeout=_UNBOUNDED) as answer:
                said = await answer.json()
                if answer.status == 200:
                    return
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            what = f"the store container cannot be asked for it ({type(error).__name__})"
            raise restart_required("SourceUnreachable", what) from None
        raise _refusal(said)


def _refusal(said: object) -> RefusedError:
    match said:
        case {"error": {"reason": str(reason), "message": str(message)}}:
            if reason in ELSEWHERE:
                return restart_required(ELSEWHERE[reason], message)
            return RefusedError("IngestFailed", f"{reason}: {message}")
    return restart_required("StoreFailed", f"the store container answered {str(said)[:200]}")
