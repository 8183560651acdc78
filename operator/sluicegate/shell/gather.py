"""Reads everything that a decision may look at: the caches, and live what no cache holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sluicegate.core import naming, objects
from sluicegate.core.inspection import outcome
from sluicegate.core.jobs import is_over
from sluicegate.core.model_planner import users as users_among
from sluicegate.core.objects import Manifest
from sluicegate.core.observed import Defaults, SeenDeployment, SeenModelVersion
from sluicegate.core.template import POINTER_KEY
from sluicegate.core.verification_job import lacks_result
from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound
from sluicegate.shell.keys import Key, key_of, owner_key
from sluicegate.shell.runtime import RuntimeCalls
from sluicegate.shell.trim import trim
from sluicegate.shell.view import MANAGED, View


class Gatherer:
    """Builds what is seen of one custom resource. Reads raise ApiError: nothing is decided on half a view."""

    def __init__(self, client: Client, view: View, calls: RuntimeCalls, defaults: Defaults) -> None:
        self._client = client
        self._view = view
        self._calls = calls
        self._defaults = defaults

    async def deployment(self, custom_resource: Manifest) -> SeenDeployment:
        key, uid = key_of(custom_resource), objects.uid(custom_resource)
        pointers = self._view.owned(resources.CONFIG_MAP, uid)
        revisions = self._view.owned(resources.CONTROLLER_REVISION, uid)
        jobs = self._view.owned(resources.JOB, uid)
        pods = await self._verified_pods(key, jobs)
        return SeenDeployment(
            custom_resource=custom_resource,
            defaults=self._defaults,
            model_versions=await self._model_versions(key.namespace, named_by_spec(custom_resource)),
            replica_sets=await self._replica_sets(uid, revisions),
            revisions=revisions,
            config_maps=pointers,
            services=self._view.owned(resources.SERVICE, uid),
            disruption_budgets=self._view.owned(resources.DISRUPTION_BUDGET, uid),
            network_policies=self._view.owned(resources.NETWORK_POLICY, uid),
            secrets=self._view.owned(resources.SECRET, uid),
            jobs=jobs,
            pods=pods,
            nodes=self._view.nodes(),
            answers=self._calls.answers(key),
            scores=self._calls.scores(key),
            replies=self._calls.replies(key),
            runtimes=self._calls.statuses(key, frozenset(map(objects.uid, pods))),
        )

    async def model_version(self, custom_resource: Manifest) -> SeenModelVersion:
        # Who uses it matters only once somebody wants it gone, and then only a live answer will do.
        users = await self._users(custom_resource) if objects.terminating(custom_resource) else ()
        jobs = self._view.owned(resources.JOB, objects.uid(custom_resource))
        return SeenModelVersion(
            custom_resource=custom_resource,
            defaults=self._defaults,
            jobs=jobs,
            pods=await self._inspecting_pods(key_of(custom_resource), jobs),
            users=users,
        )

    async def _inspecting_pods(self, key: Key, jobs: Iterable[Manifest]) -> tuple[Manifest, ...]:
        """The pods of inspections. The result of one that is over may not be in the cache yet."""
        pods = self._view.pods(key)
        if outcome(pods) or not any(map(is_over, jobs)):
            return pods
        return await self._live_pods(key, naming.MODEL_VERSION)

    async def _verified_pods(self, key: Key, jobs: Iterable[Manifest]) -> tuple[Manifest, ...]:
        """The pods of a deployment, with those that verify it: why one failed may not be in the cache yet."""
        pods = self._view.pods(key)
        if not any(lacks_result(job, pods) for job in jobs):
            return pods
        live = {objects.uid(pod): pod for pod in await self._live_pods(key, naming.VERIFIES)}
        return (*(pod for pod in pods if objects.uid(pod) not in live), *live.values())

    async def _live_pods(self, key: Key, label: str) -> tuple[Manifest, ...]:
        """The pods of the key's Jobs, which carry its name in this label."""
        selector = f"{MANAGED},{label}={key.name}"
        listing = await self._client.list(resources.POD, key.namespace, label_selector=selector, keep=trim)
        return tuple(listing.items)

    async def _replica_sets(self, uid: str, revisions: Iterable[Manifest]) -> tuple[Manifest, ...]:
        """The ReplicaSets, with their template only where a lost record has to be restored from it."""
        recorded = {objects.labels(revision).get(naming.ROLLOUT) for revision in revisions}
        found = []
        for each in self._view.owned(resources.REPLICA_SET, uid):
            known = objects.labels(each).get(naming.ROLLOUT) in recorded
            found.append(each if known else await self._with_template(each))
        return tuple(found)

    async def _with_template(self, replica_set: Manifest) -> Manifest:
        ref = objects.ref(replica_set)
        try:
            live = await self._client.get(resources.REPLICA_SET, ref.namespace, ref.name)
        except NotFound:
            return replica_set
        return {**replica_set, "spec": {**replica_set["spec"], "template": live["spec"]["template"]}}

    async def _model_versions(self, namespace: str, names: Iterable[str]) -> dict[str, Manifest]:
        found: dict[str, Manifest] = {}
        for name in sorted(names):
            # One that was made a moment ago, with the deployment that names it, may not be in the cache.
            try:
                found[name] = self._view.model_version(namespace, name) or await self._client.get(
                    resources.MODEL_VERSION, namespace, name
                )
            except NotFound:
                continue
        return found

    async def _users(self, model_version: Manifest) -> tuple[str, ...]:
        """The LLMDeployments whose spec, status or colours name the ModelVersion."""
        wanted, namespace = objects.name(model_version), model_version["metadata"]["namespace"]
        deployments = await self._client.list(resources.LLM_DEPLOYMENT, namespace)
        users = set(users_among(wanted, deployments.items))
        for pointer in self._view.caches[resources.CONFIG_MAP.kind].everything():
            owner = owner_key(pointer)
            if owner is not None and owner.namespace == namespace and wanted in named_by_colours([pointer]):
                users.add(owner.name)
        return tuple(sorted(users))


def named_by_spec(deployment: Manifest) -> frozenset[str]:
    """The ModelVersions that an LLMDeployment's spec names, whatever else may be wrong with it."""
    spec = _mapping(deployment.get("spec"))
    speculative = _mapping(_mapping(spec.get("engine")).get("speculative"))
    names = (spec.get("modelVersion"), speculative.get("draftModelVersion"))
    return frozenset(name for name in names if isinstance(name, str) and name)


def named_by_colours(colour_objects: Iterable[Manifest]) -> frozenset[str]:
    """The ModelVersions that pointer ConfigMaps and recorded ControllerRevisions name."""
    names: set[str] = set()
    for obj in colour_objects:
        data = obj.get("data")
        pointer = _parsed(data).get("pointer") if isinstance(data, str) else _mapping(data).get(POINTER_KEY)
        model = _parsed(pointer)
        names |= {each["version"] for each in (model, _mapping(model.get("draft"))) if each.get("version")}
    return frozenset(names)


def model_keys(namespace: str, names: Iterable[str]) -> set[Key]:
    return {Key(resources.MODEL_VERSION.kind, namespace, name) for name in names}


def _mapping(value: Any) -> Manifest:
    return value if isinstance(value, dict) else {}


def _parsed(value: Any) -> Manifest:
    if not isinstance(value, str):
        return _mapping(value)
    try:
        return _mapping(json.loads(value))
    except ValueError:
        # Somebody edited it: repairing it is the planner's, and it names no version meanwhile.
        return {}
