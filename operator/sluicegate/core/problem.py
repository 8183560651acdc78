"""A problem: why something does not go on, and whether it will by itself."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.api.reasons import Reason
from sluicegate.core.objects import Ref


@dataclass(frozen=True)
class Problem:
    """`stalled` means that somebody has to change something; otherwise waiting may be enough.

    `final` means that pods which never served are given up for it.
    """

    reason: Reason
    message: str
    stalled: bool = True
    final: bool = False


def name_taken(where: Ref, holder: str) -> Problem:
    """Somebody else's object has the name of a child."""
    text = f"{where} exists and is not ours: {holder}. It is left alone; rename it or what needs the name"
    return Problem(Reason.NAME_CONFLICT, text)


def write_refused(where: Ref, said: str, for_good: bool = True) -> Problem:
    """The API server refuses a write; `for_good`, if it will go on to until somebody changes something."""
    return Problem(Reason.WRITE_REFUSED, f"the API server refuses {where}: {said}", stalled=for_good)
