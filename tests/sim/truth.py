"""Whether the operator's caches say what is stored, and whether it has forgotten what is gone."""

from __future__ import annotations

from collections.abc import Iterator

from tests.sim.stage import Stage

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, labels
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, NODE, Resource
from sluicegate.shell.keys import key_of
from sluicegate.shell.view import OWNED

Name = tuple[str, str]


def untrue(stage: Stage) -> Iterator[str]:
    """Each kind whose cache does not hold just what is stored, in its last state, in a replica that runs."""
    views = [process.operator.view for process in stage.processes if process.operator is not None]
    if not views:
        yield "the operator does not run"
    for kind in (*OWNED, MODEL_VERSION, NODE):
        stored = _versions(stage, kind)
        for view in views:
            cached = dict(map(_version, view.caches[kind.kind].everything()))
            if stored != cached:
                yield f"the cache of {kind.kind} is not what is stored: {stored.items() ^ cached.items()}"


def unforgotten(stage: Stage) -> Iterator[str]:
    """Each custom resource that is gone, and that a replica that runs has yet to hear of the end of."""
    there = {key_of(each) for kind in (LLM_DEPLOYMENT, MODEL_VERSION) for each in stage.server.peek(kind)}
    for process in stage.processes:
        known = process.operator.intake.known if process.operator is not None else frozenset()
        yield from (
            f"{process.identity} still knows of {each}, which is gone" for each in sorted(known - there)
        )


def _versions(stage: Stage, kind: Resource) -> dict[Name, str]:
    """The resourceVersions of what the operator watches of a kind."""
    ours = (
        each
        for each in stage.server.peek(kind)
        if kind not in OWNED or labels(each).get(naming.MANAGED_BY) == naming.MANAGER
    )
    return dict(map(_version, ours))


def _version(obj: Manifest) -> tuple[Name, str]:
    meta = obj["metadata"]
    return (meta.get("namespace", ""), meta["name"]), meta["resourceVersion"]
