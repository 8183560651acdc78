"""The comparison of a new version with the one before it: how much worse it may answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sluicegate.api.meta import Change, Model

Increase = Annotated[int | None, Field(ge=5, le=10_000), Change.OPERATOR]


class Comparison(Model):
    """How much worse than the version before it a new one may be while it is observed.

    Both are judged by their last few thousand requests, as their pods measured them. What chance explains is
    no difference. A figure that is left out is not compared.
    """

    min_requests: Annotated[int, Field(ge=10, le=4096), Change.OPERATOR] = 100
    """Number of requests that both versions must have had before a figure is compared."""
    max_error_rate_increase_permille: Annotated[int, Field(ge=1, le=1000), Change.OPERATOR] = 50
    """Thousandths of all requests by which failed ones may be more: errors, and clients that left before the
    first token. Neither bad requests nor those turned away by a full queue count. 1000 compares nothing."""
    max_ttft_p95_increase_percent: Increase = None
    """Percent by which the 95th percentile of the time to first token may be longer, the wait in the queue
    included. Caches of new pods are cold: with prefix caching, observe long enough for them to fill."""
    max_tpot_p95_increase_percent: Increase = None
    """Percent by which the 95th percentile of the time per output token may be longer: of each stream the
    average, in tokens as vLLM counts them."""
    max_latency_p95_increase_percent: Increase = None
    """Percent by which the 95th percentile of the time to the whole answer may be longer."""
    max_output_tokens_p50_drift_percent: Increase = None
    """Percent by which the median length of the answers may be longer or shorter."""
