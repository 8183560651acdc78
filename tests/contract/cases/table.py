"""The table of cases: each a few requests, run alike against the fake and the real API server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.contract import objects
from tests.contract.transcript import Transcript

Case = Callable[[Transcript], Awaitable[None]]
CASES: dict[str, Case] = {}
OTHER = "somebody"


def case(function: Case) -> Case:
    """Enter the case under its own name."""
    CASES[function.__name__] = function
    return function


def per_kind(function: Callable[[Transcript, objects.Object], Awaitable[None]]) -> None:
    """Enter one case for each kind that the operator writes."""
    for kind, build in objects.WRITTEN.items():

        async def run(t: Transcript, build: Callable[[], objects.Object] = build) -> None:
            await function(t, build())

        CASES[f"{function.__name__}_{kind}"] = run
