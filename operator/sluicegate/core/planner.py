"""plan_deployment(): the whole policy about one LLMDeployment, readable from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from pydantic import ValidationError

from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.core import (
    children,
    control,
    hot_reload,
    naming,
    observation,
    rollout,
    swap,
    verification_job,
)
from sluicegate.core.colours import Colour, Record
from sluicegate.core.endings import concluded
from sluicegate.core.exposure import previewed
from sluicegate.core.intent import write
from sluicegate.core.objects import (
    Manifest,
    annotation,
    by_name,
    ref,
    resource_version,
    terminating,
    uid,
    until_overdue,
)
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.plan import Action, Apply, Create, Delete, Plan
from sluicegate.core.progress import deadline
from sluicegate.core.reading import read
from sluicegate.core.report import events, invalid, report
from sluicegate.core.target import template_fields
from sluicegate.core.template import pod_template
from sluicegate.core.world import World, world


def plan_deployment(seen: SeenDeployment, now: datetime) -> Plan:
    """What to do about this LLMDeployment now. Total and deterministic; `seen` is not changed."""
    try:
        deployment = read(LLMDeployment, seen.custom_resource)
    except ValidationError as error:
        return invalid(seen.custom_resource, error, now)
    known = concluded(world(seen, deployment, now))
    if deployment.metadata.deletion_timestamp:
        # Children go with their owner; all that is left to do is to say so.
        return Plan(status=report(known))
    actions = tuple(action for decide in DECISIONS for action in decide(known))
    status = report(known)
    return Plan(actions, status, events(deployment, status), _look_again(known))


def keep_access(known: World) -> Iterator[Action]:
    owner, defaults = known.deployment, known.seen.defaults
    secret = children.control_secret(owner, defaults.token_key)
    policy = children.network_policy(owner, defaults.operator_namespace)
    yield from _keep(secret, known.seen.secrets, "pods and operator share a token")
    yield from _keep(policy, known.seen.network_policies, "only the operator may control pods")


def keep_records(known: World) -> Iterator[Action]:
    in_place = filter(None, (known.reload, known.ended))
    for colour in (*in_place, *known.colours.values()):
        if record := _record(known, colour):
            yield from _keep(record, known.seen.revisions, f"what became of colour {colour.id} is on record")
    for colour in known.past:
        # Nobody fights over the record of what is over; only its standing in the way ends.
        if _to_settle(known, colour) and (record := _record(known, colour)):
            yield from _keep(record, known.seen.revisions, f"rollout {colour.id} may be tried again")


def keep_colours(known: World) -> Iterator[Action]:
    for colour in known.kept:
        yield from _keep_colour(known, colour)


def make_target(known: World) -> Iterator[Action]:
    owner, id = known.deployment, known.coming
    if id is None or known.pointer is None or known.wanted is None:
        return
    template = pod_template(owner, id, known.pointer, known.preflight.flags, known.seen.defaults)
    content = known.pointer.as_json()
    reason = f"{owner.spec.model_version} is wanted"
    asked = Record(known.wanted, template, content, template_fields(owner.spec))
    record = hot_reload.comes_about(known, asked)
    if record is None:
        return
    yield Create(children.revision(owner, id, record), reason)
    if record.in_place:
        return
    yield Create(children.pointer(owner, id, content), reason)
    yield Create(children.replica_set(owner, id, known.wanted, template, swap.at_first(known)), reason)


def keep_preview(known: World) -> Iterator[Action]:
    target = known.target.id if known.target else known.coming
    shown = known.exposure.rollout if target is None or hot_reload.due(known) else target
    service = children.preview_service(known.deployment, previewed(known.preview, shown, known.now))
    yield from _keep(service, known.seen.services, "the target is asked before it serves")


def expose(known: World) -> Iterator[Action]:
    service = children.service(known.deployment, rollout.next_exposure(known))
    yield from _keep(service, known.seen.services, "the Service says who answers")


def keep_disruption_budget(known: World) -> Iterator[Action]:
    if known.exposed and not known.exposure.overlap:
        budget = children.disruption_budget(known.deployment, known.exposure.rollout)
        yield from _keep(budget, known.seen.disruption_budgets, "evictions may take one pod at a time")


def change_pods(known: World) -> Iterator[Action]:
    yield from hot_reload.calls(known)


def ask(known: World) -> Iterator[Action]:
    yield from rollout.questions(known)
    yield from observation.questions(known)


def retire(known: World) -> Iterator[Action]:
    """One object that nothing needs any more, of a colour first, of the records at last."""
    if not swap.shrinks(known):
        yield from islice(chain(_outdated(known), _retired(known), _forgotten(known)), 1)


def _outdated(known: World) -> Iterator[Delete]:
    """The target's Job, where the spec asks for another one by now, or for none: it stops at once."""
    comes, asked = known.reload or known.target, known.deployment.spec.rollout.verification.job
    if comes is None or comes.job is None or comes.record.ending or terminating(comes.job):
        return
    if comes in known.exposed or not verification_job.outdated(asked, comes.job):
        return
    job = comes.job
    yield Delete(ref(job), uid(job), resource_version(job), "the spec asks for another Job")


def _forgotten(known: World) -> Iterator[Action]:
    """The records beyond the limit, but neither of what was good last nor of a failure that is told of."""
    kept = {colour.id for colour in (known.last_good, known.failed) if colour}
    for colour in known.past[known.deployment.spec.rollout.history_limit :]:
        record = colour.revision
        if colour.id in kept or _to_settle(known, colour):
            continue
        if record is not None and not terminating(record):
            reason = "it is older than rollout.historyLimit allows"
            yield Delete(ref(record), uid(record), resource_version(record), reason)


def _retired(known: World) -> Iterator[Action]:
    """What is left of colours that nothing needs any more: their pods first, pointers when they are gone."""
    if known.exposure.age(known.now) < rollout.PROPAGATION or known.exposure.overlap:
        return
    needed = known.promoted and not rollout.enough_to_serve(known)
    reason = "nothing needs it any more"
    for colour in known.retired:
        if needed and not swap.noted(known, colour):
            continue
        for obj in _removable(known, colour):
            yield _announce(known, colour, reason) or Delete(
                ref(obj), uid(obj), resource_version(obj), reason
            )


def _announce(known: World, colour: Colour, reason: str) -> Apply | None:
    """What is noted on a ReplicaSet before it is deleted.

    Whoever wants it after all takes the note off. So a deletion is refused that an earlier leader decided on
    and that took long to arrive.
    """
    pods, record = colour.replica_set, colour.record
    if pods is None or record.template is None or annotation(pods, naming.RETIRED):
        return None
    replicas = pods["spec"].get("replicas", 1)
    note = children.replica_set(
        known.deployment, colour.id, record.target, record.template, replicas, retired=True
    )
    return Apply(note, uid(pods), resource_version(pods), reason)


def _removable(known: World, colour: Colour) -> Iterator[Manifest]:
    """Its pods first, then the Job that asks them; the rest when they are gone."""
    left: Iterable[Manifest | None] = colour.objects
    if colour.replica_set is not None:
        left = (colour.replica_set,)
    elif colour.pods:
        left = (colour.job,)
    # The record stays, to tell how it ended, if that can be written on it.
    lasting = colour.revision if _record(known, colour) else None
    yield from (obj for obj in left if obj is not None and obj is not lasting and not terminating(obj))


# In an order in which every prefix is safe: create, then shift, then delete.
DECISIONS: tuple[Callable[[World], Iterator[Action]], ...] = (
    keep_access,  # before pods, which mount the token
    keep_records,  # how each rollout ended is written before anything of it is removed
    keep_colours,  # those that serve and the target, repaired and at their number of replicas
    make_target,  # when the spec asks for something that is not there
    keep_preview,  # the address under which the target is asked
    change_pods,  # in place: pods stage, change one after another, or change back
    expose,  # the Service: create it, repair it, move it on
    keep_disruption_budget,  # follows the serving colour
    ask,  # for what the next decision needs to know
    retire,  # at most one object of what nothing needs any more
)


def _keep_colour(known: World, colour: Colour) -> Iterator[Action]:
    owner, template, content = known.deployment, colour.record.template, _content(known, colour)
    if template is None or not content:
        return
    reason = f"colour {colour.id} is kept"
    target = colour.record.target
    pointer = children.pointer(owner, colour.id, content)
    yield from _keep(pointer, known.seen.config_maps, reason)
    if colour.replica_set is None and known.crowded and colour not in known.exposed:
        return
    pods = children.replica_set(owner, colour.id, target, template, swap.replicas(known, colour))
    yield from _keep(pods, known.seen.replica_sets, reason)


def _record(known: World, colour: Colour) -> Manifest | None:
    """The whole record of a colour; None of one that too little is known of."""
    record, content = colour.record, _content(known, colour)
    if record.template is None or not content:
        return None
    now = replace(
        record,
        pointer=content,
        spec=_spec(known, colour),
        ending=known.ending(colour),
        settled=known.settled(colour),
        verification=rollout.verification(known, colour),
        swaps=swap.noted(known, colour),
    )
    return children.revision(known.deployment, colour.id, now)


def _spec(known: World, colour: Colour) -> Mapping[str, Any] | None:
    """The fields of the spec that it was made for; where its record is lost, the present ones if they are."""
    lost = colour.revision is None
    return template_fields(known.deployment.spec) if lost and known.wants(colour) else colour.record.spec


def _to_settle(known: World, colour: Colour) -> bool:
    return known.settled(colour) and not colour.record.settled


def _content(known: World, colour: Colour) -> Mapping[str, Any]:
    """What its pointer says; where that is lost, what the target's has to say."""
    if not colour.record.pointer and known.pointer and colour is known.target:
        return known.pointer.as_json()
    return colour.record.pointer


def _keep(intent: Manifest, live: tuple[Manifest, ...], reason: str) -> Iterator[Action]:
    found = by_name(live).get(intent["metadata"]["name"])
    if found is not None and terminating(found):
        return
    action = write(intent, found, reason)
    if action:
        yield action


def _look_again(known: World) -> timedelta | None:
    """The next moment at which time alone changes a decision."""
    moments: list[timedelta] = []
    age = known.exposure.age(known.now)
    if known.exposure.overlap:
        moments.append(rollout.OVERLAP - age)
    elif known.retired:
        moments.append(rollout.PROPAGATION - age)
    if known.target and rollout.in_question(known, known.target):
        moments.append(control.RETRY)
    if known.arriving and not known.taken and (limit := deadline(known, known.arriving)):
        moments.append(limit - known.now)
    moments += [*observation.moments(known), *swap.moments(known), *hot_reload.moments(known)]
    if known.failed and rollout.step(known):
        moments += until_overdue(known.failed.pods, known.now)
    ahead = [moment for moment in moments if moment > timedelta(0)]
    return min(ahead, default=None)
