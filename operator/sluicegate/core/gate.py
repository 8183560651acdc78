"""A gate: what pods that answer have to pass before they may serve."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.api.reasons import Reason
from sluicegate.core.addresses import pod_url, service_url
from sluicegate.core.colours import Colour
from sluicegate.core.plan import Action
from sluicegate.core.problem import Problem
from sluicegate.core.template import SERVING_PORT
from sluicegate.core.world import World


@dataclass(frozen=True)
class Gate:
    """Where a colour whose pods answer stands with one gate, or with all of them.

    `asks` is what has to be done to learn more. `note` tells what was made of the colour, "" where nothing
    was asked for.
    """

    opens: bool
    problem: Problem | None = None
    asks: tuple[Action, ...] = ()
    note: str = ""


def asked_at(known: World, colour: Colour) -> str | None:
    """Base URL at which a colour is asked: of the preview Service, or of the pod that changed first."""
    return pod_url(colour.pods[0], SERVING_PORT) if colour.record.in_place else service_url(known.preview)


def refused(known: World, reason: Reason, why: str, until: str) -> Gate:
    """A gate that stays shut. Where nothing else serves, the colour is kept `until` something happens."""
    serves = any(colour.ready_pods for colour in known.exposed)
    stays = "" if serves else f". Nothing else serves: it stays as it is until {until}"
    return Gate(opens=False, problem=Problem(reason, f"{why}{stays}", final=True))
