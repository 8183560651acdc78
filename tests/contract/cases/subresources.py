"""Status, scale, and what a generation counts."""

from __future__ import annotations

from tests.contract.cases.table import OTHER, case
from tests.contract.objects import Object, deployment, pod, replica_set
from tests.contract.transcript import Transcript

from sluicegate.kube import resources as r

READY = {"type": "Ready", "status": "True", "reason": "Serving"}
AVAILABLE = {"type": "Available", "status": "True", "reason": "Serving"}


def with_status(obj: Object, **status: object) -> Object:
    return {**obj, "status": status}


@case
async def status_is_written_only_through_its_own_path(t: Transcript) -> None:
    head = {key: value for key, value in deployment().items() if key != "spec"}

    async def apply(name: str, obj: Object) -> None:
        await t.apply(name, obj, "sluicegate-status", force=True, subresource="status")

    await apply("nothing there", with_status(head))
    await t.create("create with status", with_status(deployment(), replicas=5))
    full = with_status(head, observedGeneration=1, replicas=1, conditions=[READY, AVAILABLE])
    await apply("status", full)
    await apply("the same", full)
    less = with_status(head, observedGeneration=1, conditions=[READY])
    await apply("a condition less", less)
    await apply("spec by status", {**less, "spec": deployment(replicas=7)["spec"]})
    await t.apply("status by spec", with_status(deployment(replicas=2), replicas=9), force=True)
    labelled = {"metadata": {"labels": {"a": "b"}}, "status": {"replicas": 4}}
    await t.patch("patch", r.LLM_DEPLOYMENT, "chat", labelled, OTHER, "status")
    await apply("an invalid one", with_status(head, conditions=[{"type": "Ready", "status": "Maybe"}]))
    await apply("an undeclared field", with_status(head, novelty=1))
    await apply("none", with_status(head))
    await t.patch("wiped", r.LLM_DEPLOYMENT, "chat", {"status": None}, OTHER, "status")


@case
async def status_of_built_in_kinds(t: Transcript) -> None:
    await t.create("create", replica_set())
    counted = {"status": {"replicas": 1, "readyReplicas": 1, "observedGeneration": 1}}
    await t.patch("replicas", r.REPLICA_SET, "chat-1", counted, "kcm", "status")
    by_spec = {"status": {"replicas": 9}, "metadata": {"labels": {"a": "b"}}}
    await t.patch("status by spec", r.REPLICA_SET, "chat-1", by_spec, OTHER)
    await t.create("pod", pod())
    running = {"status": {"phase": "Running", "reason": "Started"}}
    await t.patch("running", r.POD, "p", running, "kubelet", "status")


@case
async def generation_counts_changes_of_intent_only(t: Transcript) -> None:
    for obj in (deployment(), replica_set("chat")):
        resource = r.resource_of(obj)
        await t.create("create", obj)
        await t.patch("label", resource, "chat", {"metadata": {"labels": {"a": "1"}}})
        await t.patch("spec", resource, "chat", {"spec": {"replicas": 2}})
        await t.patch("same spec", resource, "chat", {"spec": {"replicas": 2}})


@case
async def the_scale_subresource_reads_and_writes_replicas(t: Transcript) -> None:
    await t.create("create", deployment(replicas=1))
    await t.get("get", r.LLM_DEPLOYMENT, "chat", "scale")
    await t.patch("scale", r.LLM_DEPLOYMENT, "chat", {"spec": {"replicas": 3}}, "hpa", "scale")
    await t.get("object", r.LLM_DEPLOYMENT, "chat")
    status = {"status": {"replicas": 2, "selector": "a=b"}}
    await t.patch("status", r.LLM_DEPLOYMENT, "chat", status, subresource="status")
    await t.get("get again", r.LLM_DEPLOYMENT, "chat", "scale")
    await t.get("no scale of a kind without", r.CONFIG_MAP, "a", "scale")
