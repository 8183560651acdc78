"""The report: status and events of an LLMDeployment, from its world as seen now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import (
    Ended,
    LastGood,
    LLMDeployment,
    LLMDeploymentStatus,
    Phase,
    RolloutStatus,
    Serving,
    Step,
)
from sluicegate.core import hot_reload, naming, progress, rollout
from sluicegate.core.colours import Colour
from sluicegate.core.conditions import Verdict, conditions, shortened, timestamp
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.objects import Manifest, name
from sluicegate.core.plan import Event, Plan
from sluicegate.core.problem import Problem
from sluicegate.core.under_way import STEPS, deadline, moving_colour, under_way
from sluicegate.core.world import World

_NEVER_READY = frozenset({Reason.NAME_CONFLICT, Reason.TERMINATING})
_EXPECTED = frozenset({Reason.SUPERSEDED, Reason.TERMINATING, *(reason for reason, _ in STEPS.values())})


def report(known: World) -> dict[str, Any]:
    """The whole status as JSON."""
    deployment, spec = known.deployment, known.deployment.spec
    verdicts = _verdicts(known)
    shown = _shown(known)
    status = LLMDeploymentStatus(
        observed_generation=deployment.metadata.generation,
        phase=_phase(known, verdicts),
        serving=_serving(known),
        target=spec.model_version,
        url=f"http://{deployment.metadata.name}.{deployment.metadata.namespace}.svc/v1",
        replicas=len(shown.lasting_pods) if shown else 0,
        ready_replicas=len(shown.ready_pods) if shown else 0,
        replica_summary=f"{len(shown.ready_pods) if shown else 0}/{spec.replicas}",
        selector=f"{naming.DEPLOYMENT}={deployment.metadata.name}",
        rollout=_rollout(known),
        last_good=_last_good(known),
        history=_history(known),
    )
    body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    generation = deployment.metadata.generation
    return {**body, "conditions": conditions(verdicts, deployment.status.conditions, generation, known.now)}


def invalid(obj: Manifest, error: ValidationError, now: datetime) -> Plan:
    """A spec that cannot be read: say so, touch nothing."""
    problems = "; ".join(": ".join((*_path(each["loc"]), each["msg"])) for each in error.errors())
    meta = obj["metadata"]
    try:
        before = LLMDeploymentStatus.model_validate(obj.get("status") or {})
    except ValidationError:
        before = LLMDeploymentStatus()
    problem = Problem(Reason.INVALID_SPEC, f"{problems}. Nothing is changed until it is corrected")
    verdicts = [_verdict("Ready", False, problem), _verdict("Stalled", True, problem)]
    kept = before.model_dump(mode="json", by_alias=True, exclude_none=True)
    generation = int(meta.get("generation", 0))
    status = {
        **kept,
        "observedGeneration": generation,
        "phase": Phase.STALLED,
        "conditions": conditions(verdicts, before.conditions, generation, now),
    }
    return Plan((), status, _transitions(before, status))


def _path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The field, or nothing where the object as a whole is wrong."""
    return (".".join(str(part) for part in location),) if location else ()


def _verdict(type: str, status: bool, problem: Problem) -> Verdict:
    return Verdict(type, status, problem.reason, problem.message)


def _shown(known: World) -> Colour | None:
    """The colour whose pods are counted: the one that serves, or the one that is coming up."""
    return known.exposed[0] if known.exposed else known.target


def _answering(known: World) -> Colour | None:
    return next((colour for colour in known.exposed if colour.ready_pods), None)


def _serving(known: World) -> Serving | None:
    colour = _answering(known)
    if colour is None:
        return None
    return Serving(version=colour.version, digest=colour.digest, rollout=colour.id)


def _rollout(known: World) -> RolloutStatus | None:
    step, target = rollout.step(known), moving_colour(known)
    if step is None or target is None:
        return None
    last = known.deployment.status.rollout
    before = last if last is not None and last.id == target.id else None
    started = before.step_started_at if before and before.step == step else timestamp(known.now)
    reload = target.record.reload
    others = (*known.exposed, known.previous, *known.retired)
    left = next((each.version for each in others if each and each is not target), "")
    if reload is not None:
        left = str(reload.before.pointer.get("version", ""))
    return RolloutStatus(
        id=target.id,
        from_version=before.from_version if before else left,
        to_version=target.version,
        step=step,
        step_started_at=started,
        deadline=deadline(known),
        message=shortened((problem_of(known) or under_way(known)).message),
        not_in_place=target.record.not_in_place or None,
        resumed_at=progress.resumed_at(known, target),
    )


def _last_good(known: World) -> LastGood | None:
    colour = known.last_good
    if colour is None:
        return None
    return LastGood(version=colour.version, digest=colour.digest, rollout=colour.record.rollout or colour.id)


def _history(known: World) -> tuple[Ended, ...]:
    """As recorded: what ends only now is told once that is written."""
    ended = [
        Ended(id=each.id, version=each.made_version, **each.record.ending.model_dump())
        for each in (*known.past, *known.colours.values())
        if each.record.ending
    ]
    return tuple(sorted(ended, key=lambda each: (each.finished_at, each.id), reverse=True))


def _loss(known: World) -> Problem | None:
    """What became of a target that failed, or of what failed before the spec asked for another, and what may
    be done."""
    lost = known.reverted or known.failed
    ending = known.ending(lost) if lost else None
    if lost is None or ending is None:
        return None
    what = f"the rollout of {lost.version} failed: {ending.reason}: {ending.message}"
    if known.reverted is not None and known.previous is not None:
        return _way_back(what, known.previous)
    if rollout.step(known) and not hot_reload.returning(known):
        return Problem(Reason.DISCARDING, f"{what}. Its pods are removed", stalled=False)
    meta = known.deployment.metadata
    serving = _who_serves(known.serving, known.deployment.spec.replicas)
    if pods := ", ".join(name(pod) for pod in hot_reload.astray(known)):
        serving = f"pods have yet to change back: {pods}"
    if known.serving is known.failed:
        serving = "it serves on, for nothing is there to go back to"
    advice = f"Change the spec, or try again: kubectl sluice rollout retry {meta.name} -n {meta.namespace}"
    return Problem(Reason.ROLLED_BACK, f"{what}; {serving}. {advice}")


def _who_serves(serving: Colour | None, replicas: int) -> str:
    if serving is None:
        return "nothing serves"
    if serving.ready_pods or not replicas:
        return f"{serving.version}, as before, serves on"
    found = diagnose(serving.replica_set, serving.pods)
    return f"{serving.version} comes back{f', but {found.reason}: {found.message}' if found else ''}"


def _way_back(what: str, previous: Colour) -> Problem:
    back = f"{what}; the Service moves back to {previous.version}"
    found = None if previous.ready_pods else diagnose(previous.replica_set, previous.pods)
    if found is None:
        return Problem(Reason.REVERTING, back, stalled=False)
    return Problem(Reason.REVERTING, f"{back}, which has no pods: {found.message}", found.stalled)


def problem_of(known: World) -> Problem | None:
    """What is in the way of the target, most telling first."""
    if known.deployment.metadata.deletion_timestamp:
        return Problem(Reason.TERMINATING, "it is being deleted, and its children with it", stalled=False)
    if known.seen.obstacle:
        return known.seen.obstacle
    if found := _loss(known) or known.problem:
        return found
    if known.changing is not None:
        return hot_reload.trouble(known)
    if known.target is None or hot_reload.astray(known):
        return None
    return progress.trouble(known, known.target)


def _verdicts(known: World) -> list[Verdict]:
    problem = problem_of(known)
    ready = _ready(known, problem)
    verdicts = [
        ready,
        _available(known),
        _model_ready(known),
        _workload_ready(known, problem),
        _route_ready(known),
    ]
    if problem and problem.stalled:
        verdicts.append(_verdict("Stalled", True, problem))
    elif moving := _moving(known, problem, ready):
        verdicts.append(moving)
    return verdicts


def _ready(known: World, problem: Problem | None) -> Verdict:
    target, spec = known.target, known.deployment.spec
    if problem and problem.reason in _NEVER_READY:
        return _verdict("Ready", False, problem)
    if target is None or not known.promoted:
        blocked = problem or under_way(known)
        return _verdict("Ready", False, blocked)
    if spec.replicas == 0:
        return Verdict("Ready", True, Reason.SCALED_TO_ZERO, "spec.replicas is 0: raise it to serve")
    if known.watched is not None or hot_reload.astray(known):
        return _verdict("Ready", False, problem or under_way(known))
    if not target.ready_pods:
        waiting = problem or Problem(Reason.NO_READY_REPLICAS, f"waits for a pod of {target.version}")
        return _verdict("Ready", False, waiting)
    if not rollout.answered_since_ready(known, target):
        text = "pods are ready; waits for an answer through the Service"
        return _verdict("Ready", False, problem or Problem(Reason.AWAITING_ANSWER, text))
    return Verdict("Ready", True, Reason.SERVING, f"{target.version} answers through the Service")


def _available(known: World) -> Verdict:
    colour = _answering(known)
    if colour:
        return Verdict(
            "Available", True, Reason.SERVING, f"{colour.version} has ready pods behind the Service"
        )
    if known.deployment.spec.replicas == 0:
        return Verdict("Available", False, Reason.SCALED_TO_ZERO, "spec.replicas is 0")
    return Verdict("Available", False, Reason.NO_READY_REPLICAS, "no ready pod is behind the Service")


def _model_ready(known: World) -> Verdict:
    problem = known.preflight.problem
    if known.pointer is None and problem:
        return _verdict("ModelReady", False, problem)
    return Verdict("ModelReady", True, Reason.VERIFIED, f"{known.deployment.spec.model_version} is verified")


def _workload_ready(known: World, problem: Problem | None) -> Verdict:
    target = known.target
    if known.deployment.spec.replicas == 0 and target:
        return Verdict("WorkloadReady", True, Reason.SCALED_TO_ZERO, "spec.replicas is 0")
    if target and target.ready_pods:
        return Verdict("WorkloadReady", True, Reason.PODS_READY, f"pods of {target.version} are ready")
    return _verdict("WorkloadReady", False, problem or Problem(Reason.NO_READY_REPLICAS, "no pod is ready"))


def _route_ready(known: World) -> Verdict:
    if known.promoted:
        text = f"the Service points at {known.deployment.spec.model_version}"
        reason = Reason.OBSERVING if known.watched else Reason.PROMOTED
        return Verdict("RouteReady", True, reason, text)
    blocked = _loss(known) or known.problem or under_way(known)
    return _verdict("RouteReady", False, blocked)


def _moving(known: World, problem: Problem | None, ready: Verdict) -> Verdict | None:
    """Reconciling: present while something is under way that ends by itself."""
    if rollout.step(known) in rollout.HELD and problem is None:
        return None
    if rollout.step(known) is not None:
        return _verdict("Reconciling", True, problem or under_way(known))
    target, wanted = known.target, known.deployment.spec.replicas
    if target and (len(target.ready_pods) != wanted or len(target.lasting_pods) != wanted):
        text = "waits for the number of ready pods to be spec.replicas"
        return _verdict("Reconciling", True, problem or Problem(Reason.SCALING, text))
    return None if ready.status else Verdict("Reconciling", True, ready.reason, ready.message)


def _phase(known: World, verdicts: list[Verdict]) -> Phase:
    if known.deployment.metadata.deletion_timestamp:
        return Phase.TERMINATING
    held = {verdict.type: verdict for verdict in verdicts if verdict.status}
    if "Stalled" in held:
        return Phase.STALLED
    if "Ready" in held:
        if held["Ready"].reason is Reason.SCALED_TO_ZERO:
            return Phase.IDLE
        return Phase.DEGRADED if "Reconciling" in held and rollout.step(known) is None else Phase.READY
    return Phase.ROLLING if "Available" in held else Phase.PENDING


def events(deployment: LLMDeployment, status: dict[str, Any]) -> tuple[Event, ...]:
    return _transitions(deployment.status, status)


def _transitions(before: LLMDeploymentStatus, after: dict[str, Any]) -> tuple[Event, ...]:
    """One event for each of Ready and Stalled that changed, and for a new step of the rollout."""
    found: list[Event] = []
    known = {condition.type: condition for condition in before.conditions}
    for condition in after["conditions"]:
        old = known.get(condition["type"])
        if condition["type"] not in ("Ready", "Stalled") or (
            old is not None and (old.status, old.reason) == (condition["status"], condition["reason"])
        ):
            continue
        bad = condition["type"] == "Stalled"
        good = condition["status"] == "True" and not bad
        lost = old is not None and old.status == "True" and condition["reason"] not in _EXPECTED
        if bad or good or lost:
            text = shortened(condition["message"] or condition["reason"])
            found.append(Event("Normal" if good else "Warning", condition["reason"], text))
    moved = after.get("rollout")
    last = before.rollout
    if moved and (last is None or (last.id, last.step) != (moved["id"], moved["step"])):
        reason, text = STEPS[Step(moved["step"])]
        found.append(Event("Normal", str(reason), f"{moved['toVersion']} {text}"))
    why = moved.get("notInPlace") if moved else None
    if moved and why and (last is None or (last.id, last.not_in_place) != (moved["id"], why)):
        text = f"{moved['toVersion']} does not come into the running pods, and new ones come: {why}"
        found.append(Event("Normal", Reason.RESTART_REQUIRED, text))
    return tuple(found)
