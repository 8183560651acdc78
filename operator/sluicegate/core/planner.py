"""plan_deployment(): the whole policy about one LLMDeployment, readable from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from pydantic import ValidationError

from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.core import children, naming, rollout
from sluicegate.core.colours import Colour
from sluicegate.core.intent import write
from sluicegate.core.objects import Manifest, annotation, by_name, ref, resource_version, terminating, uid
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.plan import Action, Apply, Create, Delete, Plan
from sluicegate.core.progress import deadline
from sluicegate.core.reading import read
from sluicegate.core.report import events, invalid, report
from sluicegate.core.template import pod_template
from sluicegate.core.world import World, world


def plan_deployment(seen: SeenDeployment, now: datetime) -> Plan:
    """What to do about this LLMDeployment now. Total and deterministic; `seen` is not changed."""
    try:
        deployment = read(LLMDeployment, seen.custom_resource)
    except ValidationError as error:
        return invalid(seen.custom_resource, error, now)
    known = world(seen, deployment, now)
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
    yield Create(children.revision(owner, id, known.wanted, template, content), reason)
    yield Create(children.pointer(owner, id, content), reason)
    yield Create(children.replica_set(owner, id, known.wanted, template, owner.spec.replicas), reason)


def keep_preview(known: World) -> Iterator[Action]:
    target = known.target.id if known.target else known.coming
    shown = target or known.exposure.rollout
    service = children.preview_service(known.deployment, shown)
    yield from _keep(service, known.seen.services, "the target is asked before it serves")


def expose(known: World) -> Iterator[Action]:
    service = children.service(known.deployment, rollout.next_exposure(known))
    yield from _keep(service, known.seen.services, "the Service says who answers")


def keep_disruption_budget(known: World) -> Iterator[Action]:
    if known.exposed and not known.exposure.overlap:
        budget = children.disruption_budget(known.deployment, known.exposure.rollout)
        yield from _keep(budget, known.seen.disruption_budgets, "evictions may take one pod at a time")


def ask(known: World) -> Iterator[Action]:
    yield from rollout.questions(known)


def retire(known: World) -> Iterator[Action]:
    """One object of a colour that nothing needs any more: its pods first, its records when they are gone."""
    if known.exposure.age(known.now) < rollout.PROPAGATION or known.exposure.overlap:
        return
    if known.promoted and not rollout.enough_to_serve(known):
        return
    reason = "nothing needs it any more"
    for colour in known.retired:
        for obj in _removable(colour):
            yield _announce(known, colour, reason) or Delete(
                ref(obj), uid(obj), resource_version(obj), reason
            )
            return


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


def _removable(colour: Colour) -> Iterator[Manifest]:
    if colour.replica_set is not None:
        if not terminating(colour.replica_set):
            yield colour.replica_set
    elif not colour.pods:
        yield from (obj for obj in colour.objects if not terminating(obj))


# In an order in which every prefix is safe: create, then shift, then delete.
DECISIONS: tuple[Callable[[World], Iterator[Action]], ...] = (
    keep_access,  # before pods, which mount the token
    keep_colours,  # those that serve and the target, repaired and at their number of replicas
    make_target,  # when the spec asks for something that is not there
    keep_preview,  # the address under which the target is asked
    expose,  # the Service: create it, repair it, move it on
    keep_disruption_budget,  # follows the serving colour
    ask,  # for what the next decision needs to know
    retire,  # at most one object of what nothing needs any more
)


def _keep_colour(known: World, colour: Colour) -> Iterator[Action]:
    owner, template, content = known.deployment, colour.record.template, colour.record.pointer
    if not content and known.pointer and colour is known.target:
        content = known.pointer.as_json()
    if template is None or not content:
        return
    reason = f"colour {colour.id} is kept"
    target = colour.record.target
    record = children.revision(owner, colour.id, target, template, content)
    yield from _keep(record, known.seen.revisions, reason)
    pointer = children.pointer(owner, colour.id, content)
    yield from _keep(pointer, known.seen.config_maps, reason)
    if colour.replica_set is None and known.crowded and colour not in known.exposed:
        return
    pods = children.replica_set(owner, colour.id, target, template, owner.spec.replicas)
    yield from _keep(pods, known.seen.replica_sets, reason)


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
        moments.append(rollout.RETRY)
    if known.target and not known.promoted and (limit := deadline(known, known.target)):
        moments.append(limit - known.now)
    ahead = [moment for moment in moments if moment > timedelta(0)]
    return min(ahead, default=None)
