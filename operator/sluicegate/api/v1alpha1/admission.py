"""What a replica takes on beyond the requests it computes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sluicegate.api.meta import Change, Model


class Admission(Model):
    """What a replica takes on beyond the requests it computes."""

    max_queued_requests: Annotated[int, Field(ge=0, le=100_000), Change.TEMPLATE] = 256
    """Number of requests that may wait in a replica. One more is answered 429 with Retry-After."""
    max_queued_prompt_tokens: Annotated[int | None, Field(ge=1, le=1_000_000_000), Change.TEMPLATE] = None
    """Number of prompt tokens, as estimated, that may wait in a replica. More is answered 429, so that a
    request of more never waits. Left out, only requests are counted."""
