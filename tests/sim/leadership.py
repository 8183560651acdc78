"""Whether one operator at a time has written, and each only while it held the Lease."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from tests.sim.faults import Channel
from tests.sim.invariants import Effect
from tests.sim.server.store import Key
from tests.sim.stage import Stage

LEASE, EVENT = "leases", "events"


def usurped(stage: Stage) -> Iterator[str]:
    """What two operators did as if each were the only one."""
    yield from _stolen(stage)
    yield from _overwritten(stage)
    yield from _sent_too_late(stage)


def terms(stage: Stage) -> list[tuple[float, str]]:
    """Each state of the Lease that an operator wrote: since when, and who holds it ("" for nobody)."""
    return [(each.at, _holder(each)) for each in stage.invariants.effects if _plural(each) == LEASE]


def _stolen(stage: Stage) -> Iterator[str]:
    valid = min(process.installation.lease.lease for process in stage.processes)
    for (since, before), (at, holder) in pairwise(terms(stage)):
        if before and holder and before != holder and at - since < valid:
            yield f"{holder} took the Lease {at - since:.1f} s after {before} had renewed it"


def second_writers(stage: Stage) -> Iterator[str]:
    """Each change by an operator after the next one's first, other than by a Lease of its own.

    Events are no state: their creation has nothing to be refused by, and nobody decides by them.
    """
    holder = writer = ""
    for each in stage.invariants.effects:
        if _plural(each) == LEASE:
            holder = _holder(each)
        elif _plural(each) != EVENT:
            if each.author not in (writer, holder):
                yield f"{each.author} wrote after {writer} had begun to, at {each.at:.3f} s: {_told(each)}"
            else:
                writer = each.author


def _overwritten(stage: Stage) -> Iterator[str]:
    """Changes of what the operator that held the Lease had written before."""
    holder, writers = "", dict[Key, str]()
    for each in stage.invariants.effects:
        if _plural(each) == LEASE:
            holder = _holder(each)
            continue
        if each.author != holder and writers.get(each.change.key, each.author) != each.author:
            yield f"{each.author} undid what {holder} had done, at {each.at:.3f} s: {_told(each)}"
        writers[each.change.key] = each.author


def _sent_too_late(stage: Stage) -> Iterator[str]:
    """Writes and orders to pods, sent when the last renewal, counted from its beginning, was too old."""
    sent = [(each.sender, each.sent, f"a write: {each.path}") for each in stage.journal.writes()]
    sent += [(each.sender, each.sent, f"an order: {each}") for each in stage.journal.orders]
    for process in stage.processes:
        allowed = process.installation.lease.renew_deadline
        renewals = list(_renewals(stage, process.identity))
        for at, told in ((at, told) for sender, at, told in sent if sender == process.identity):
            last = max((begun for begun, known in renewals if known <= at), default=-math.inf)
            if at > last + allowed:
                yield f"{at - last:.1f} s after its renewal {process.identity} sent {told}"


def _renewals(stage: Stage, identity: str) -> Iterator[tuple[float, float]]:
    """When each renewal of an operator was begun, and when it was carried out."""
    held = {at for at, holder in terms(stage) if holder == identity}
    begun = -math.inf
    calls = [each for each in stage.journal.calls if each.channel is Channel.LEASE]
    for call in sorted(calls, key=lambda each: each.sent):
        if call.sender == identity and call.method == "GET":
            begun = call.sent
        elif call.sender == identity and call.at in held:
            yield begun, call.at


def _plural(effect: Effect) -> str:
    return effect.change.key[0].rpartition("/")[2]


def _told(effect: Effect) -> str:
    return f"{effect.change.type} {' '.join(effect.change.key)}"


def _holder(effect: Effect) -> str:
    return str(effect.change.new["spec"].get("holderIdentity") or "")
