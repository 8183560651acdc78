"""In place: what the pods of a colour are to serve, where rollouts bring other versions into them.

The record of the colour says so, and its pointer. Both carry a sequence, greater with each change, by which a
pod knows the newer of its pointer and of what it was told itself. A rollout that comes to nothing leaves the
colour what it served before, with a greater sequence than the pods were told: whatever starts is right again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sluicegate.api.v1alpha1.llmdeployment import Outcome
from sluicegate.core.colours import Colour, Content
from sluicegate.core.observed import Reloading


def sequence(content: Content) -> int:
    """Of the last change in place; 0 before any."""
    told = content.pointer.get("sequence")
    return told if isinstance(told, int) else 0


def sequence_of(reload: Colour) -> int:
    """The sequence with which a rollout begins to change pods."""
    return 1 + (sequence(reload.record.reload.before) if reload.record.reload else 0)


def concerns(told: Reloading, reload: Colour) -> bool:
    """Whether a pod speaks of this rollout, and not of an earlier one with the same files."""
    return told.digest == reload.digest and told.sequence >= sequence_of(reload)


def under_way(everything: Mapping[str, Colour]) -> Colour | None:
    """The rollout that goes into running pods now, the last to be made; none where their colour is gone."""
    lasting = {id for id, colour in everything.items() if not colour.over}
    going = [each for each in everything.values() if each.record.in_place and each.record.ending is None]
    known = [each for each in going if each.record.reload and each.record.reload.colour in lasting]
    return known[-1] if known else None


def taken(colour: Colour, reload: Colour, number: int, now: datetime) -> Colour:
    """The colour, all of whose pods serve what the rollout brought."""
    pointer = {**reload.record.pointer, "sequence": number}
    return _told(colour, Content(reload.record.target, pointer, reload.id), now)


def given_back(colour: Colour, everything: Iterable[Colour], now: datetime) -> Colour:
    """The colour as it is to be after what came to nothing in its pods."""
    for reload in everything:
        found, record = reload.record.reload, colour.record
        if found is None or found.colour != colour.id or not _came_to_nothing(reload):
            continue
        number = 1 + max(sequence_of(reload), sequence(record.content))
        if record.rollout == reload.id:
            colour = _told(colour, _numbered(found.before, number), now)
        elif sequence(record.content) <= sequence_of(reload):
            colour = _told(colour, _numbered(record.content, number), now)
    return colour


def before(colour: Colour, reload: Colour) -> Colour:
    """The colour as it was before the rollout: the same pods, and what they served."""
    content = reload.record.reload.before if reload.record.reload else colour.record.content
    record = replace(colour.record, target=content.target, pointer=content.pointer, rollout=content.rollout)
    return replace(colour, record=record)


def _came_to_nothing(reload: Colour) -> bool:
    ending = reload.record.ending
    failed = ending is not None and ending.outcome is not Outcome.PROMOTED
    return failed or bool(reload.record.not_in_place)


def _numbered(content: Content, number: int) -> Content:
    return replace(content, pointer={**content.pointer, "sequence": number})


def _told(colour: Colour, content: Content, now: datetime) -> Colour:
    record = replace(
        colour.record,
        target=content.target,
        pointer=content.pointer,
        rollout=content.rollout,
        made=colour.record.made or colour.record.content,
        since=now.isoformat(timespec="milliseconds"),
    )
    return replace(colour, record=record)
