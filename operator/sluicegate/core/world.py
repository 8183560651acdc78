"""One LLMDeployment's world in the words of decisions: colours, the target among them, and who serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment, Promotion
from sluicegate.core import naming
from sluicegate.core.colours import Colour, colours
from sluicegate.core.exposure import Exposure, exposure
from sluicegate.core.objects import Manifest, by_name, overdue
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.pointer import Pointer
from sluicegate.core.preflight import Preflight, preflight
from sluicegate.core.problem import Problem
from sluicegate.core.target import asked_for, target_of


@dataclass(frozen=True)
class World:
    """`wanted` is the target's hash, or None where the model is not known well enough to make pods."""

    seen: SeenDeployment
    now: datetime
    deployment: LLMDeployment
    colours: Mapping[str, Colour]
    preflight: Preflight
    wanted: str | None
    target: Colour | None
    exposure: Exposure

    @property
    def problem(self) -> Problem | None:
        """What keeps the target from being made. A target that is there already needs no permission."""
        return None if self.target is not None else self.preflight.problem

    @property
    def pointer(self) -> Pointer | None:
        return self.preflight.pointer

    @property
    def exposed(self) -> tuple[Colour, ...]:
        """The colours that the Service sends requests to."""
        if self.exposure.overlap:
            return tuple(each for each in self.colours.values() if each.replica_set or each.ready_pods)
        found = self.colours.get(self.exposure.rollout)
        return (found,) if found else ()

    @property
    def kept(self) -> tuple[Colour, ...]:
        """The colours that are to stay: the target and those that serve."""
        ids = {colour.id for colour in self.exposed} | ({self.target.id} if self.target else set())
        return tuple(colour for colour in self.colours.values() if colour.id in ids)

    @property
    def retired(self) -> tuple[Colour, ...]:
        """The colours of which something is left that nothing needs any more."""
        ids = {colour.id for colour in self.kept}
        return tuple(colour for colour in self.colours.values() if colour.id not in ids)

    @property
    def crowded(self) -> bool:
        """Whether two colours hold pods already, so that no other may have some.

        Pods that should have ended by now do not count: their node does not answer any more.
        """
        going = (pod for colour in self.retired if colour.objects for pod in colour.pods)
        return (
            self.exposure.overlap
            or any(colour.replica_set for colour in self.retired)
            or any(not overdue(pod, self.now) for pod in going)
        )

    @property
    def coming(self) -> str | None:
        """Identity of the colour that shall be made now, if one shall. Another one's pods go first."""
        if self.target or self.problem or self.crowded or self.paused or self.wanted is None:
            return None
        generation = self.deployment.metadata.generation
        while (id := naming.rollout_id(self.wanted, generation)) in self.colours:
            generation += 1
        return id

    @property
    def promoted(self) -> bool:
        return self.target is not None and self.exposure.rollout == self.target.id

    @property
    def paused(self) -> bool:
        """Whether the spec holds a change that is wanted."""
        return self.deployment.spec.rollout.paused and self._changes

    @property
    def awaits_promotion(self) -> bool:
        """Whether a person has yet to let the target serve.

        An annotation for another rollout says nothing.
        """
        if self.target is None or self.deployment.spec.rollout.promotion is not Promotion.MANUAL:
            return False
        return self._changes and self.deployment.metadata.annotations.get(naming.PROMOTE) != self.target.id

    @property
    def _changes(self) -> bool:
        """Whether another colour was promoted before, whose pods may be lost for a moment.

        A first colour waits for nobody: as long as none was ever promoted, nobody answers.
        """
        return bool(self.exposed) and not self.promoted

    @property
    def service(self) -> Manifest | None:
        return by_name(self.seen.services).get(self.deployment.metadata.name)

    @property
    def preview(self) -> Manifest | None:
        return by_name(self.seen.services).get(naming.preview_name(self.deployment.metadata.name))


def world(seen: SeenDeployment, deployment: LLMDeployment, now: datetime) -> World:
    found = colours(seen)
    checked = preflight(deployment.spec, seen)
    wanted = target_of(deployment.spec, checked.pointer) if checked.pointer else None
    served = deployment.status.serving.rollout if deployment.status.serving else None
    name = deployment.metadata.name
    service, budget = by_name(seen.services).get(name), by_name(seen.disruption_budgets).get(name)
    exposed = exposure(service, budget, served, found, now)
    return World(
        seen=seen,
        now=now,
        deployment=deployment,
        colours=found,
        preflight=checked,
        wanted=wanted,
        target=_target(found, wanted, asked_for(deployment.spec), exposed),
        exposure=exposed,
    )


def _target(found: Mapping[str, Colour], wanted: str | None, asked: str, exposed: Exposure) -> Colour | None:
    """The colour that is what the spec asks for. Files that cannot be told now are taken as unchanged."""
    matching = [
        colour
        for colour in found.values()
        if (colour.record.target == wanted if wanted else colour.record.target.startswith(f"{asked}."))
    ]
    return max(matching, key=lambda colour: colour.id == exposed.rollout, default=None)
