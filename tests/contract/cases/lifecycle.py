"""Guarded updates and deletions, finalizers, grace."""

from __future__ import annotations

from tests.contract.cases.table import OTHER, case
from tests.contract.objects import config_map, deployment, having, pod
from tests.contract.transcript import Transcript

from sluicegate.kube import resources as r


@case
async def an_update_is_guarded_by_version_and_uid(t: Transcript) -> None:
    for obj in (config_map(), deployment()):
        resource, name = r.resource_of(obj), obj["metadata"]["name"]
        created = await t.create("create", obj)
        await t.replace("replace", having(created, labels={"x": "1"}))
        await t.replace("replace on a stale version", having(created, labels={"y": "1"}))
        await t.replace("replace of another uid", having(obj, uid="another"))
        await t.replace("replace without a version", obj)
        stale = {"metadata": {"resourceVersion": "1", "labels": {"z": "1"}}}
        await t.patch("patch on a stale version", resource, name, stale)
        await t.apply(
            "apply on a stale version", having(obj, resourceVersion="1", labels={"z": "1"}), force=True
        )
        missing = having(obj, name="missing")
        await t.replace("replace what is not there", missing)
        await t.patch("patch what is not there", resource, "missing", {"metadata": {"labels": {"a": "b"}}})
        await t.apply("apply a version that is not there", having(missing, resourceVersion="1"))


@case
async def a_delete_is_guarded_by_version_and_uid(t: Transcript) -> None:
    meta = (await t.create("create", config_map()))["metadata"]
    await t.delete("another uid", r.CONFIG_MAP, "a", uid="another")
    await t.delete("another version", r.CONFIG_MAP, "a", uid=meta["uid"], resource_version="1")
    await t.delete("the same", r.CONFIG_MAP, "a", uid=meta["uid"], resource_version=meta["resourceVersion"])
    await t.delete("once more", r.CONFIG_MAP, "a", uid=meta["uid"])
    await t.get("get", r.CONFIG_MAP, "a")


@case
async def a_finalizer_keeps_an_object_until_it_is_removed(t: Transcript) -> None:
    def finalizers(*names: str) -> dict[str, object]:
        return {"metadata": {"finalizers": [f"sluicegate.dev/{name}" for name in names] or None}}

    kept = having(deployment(), finalizers=["sluicegate.dev/a", "sluicegate.dev/b"])
    await t.create("create", kept)
    await t.delete("delete", r.LLM_DEPLOYMENT, "chat")
    await t.delete("delete again", r.LLM_DEPLOYMENT, "chat")
    await t.patch("no new one", r.LLM_DEPLOYMENT, "chat", finalizers("a", "c"))
    await t.patch("one less", r.LLM_DEPLOYMENT, "chat", finalizers("a"))
    await t.patch("spec still changes", r.LLM_DEPLOYMENT, "chat", {"spec": {"replicas": 3}})
    await t.create("create meanwhile", deployment())
    await t.patch("none left", r.LLM_DEPLOYMENT, "chat", finalizers())
    await t.get("get", r.LLM_DEPLOYMENT, "chat")


@case
async def finalizers_by_apply(t: Transcript) -> None:
    await t.create("create", deployment(), "user")
    head = {key: value for key, value in deployment().items() if key != "spec"}
    await t.apply("apply one", having(head, finalizers=["sluicegate.dev/a"]))
    await t.apply("somebody's", having(head, finalizers=["other.dev/b"]), OTHER)
    await t.delete("delete", r.LLM_DEPLOYMENT, "chat")
    await t.apply("release ours", head)
    await t.apply("release theirs", head, OTHER)
    await t.get("get", r.LLM_DEPLOYMENT, "chat")
    empty = {key: value for key, value in config_map("empty").items() if key != "data"}
    await t.apply("a finalizer alone creates", having(empty, finalizers=["sluicegate.dev/a"]))


@case
async def deletion_in_the_foreground_and_orphaning_wait_for_the_collector(t: Transcript) -> None:
    for propagation in ("Foreground", "Orphan"):
        name = propagation.lower()
        await t.create("create", config_map(name))
        await t.delete(propagation, r.CONFIG_MAP, name, propagation=propagation)
        await t.get("get", r.CONFIG_MAP, name)


@case
async def a_pod_on_a_node_terminates_when_its_kubelet_says_so(t: Transcript) -> None:
    await t.create("create unbound", pod("unbound"))
    await t.delete("delete unbound", r.POD, "unbound")
    await t.create("create bound", pod("bound", nodeName="n1"))
    await t.delete("delete bound", r.POD, "bound")
    await t.get("get", r.POD, "bound")
    await t.delete("by force", r.POD, "bound", grace_seconds=0)
    await t.get("get after", r.POD, "bound")


@case
async def a_namespace_that_ends_takes_nothing_in(t: Transcript) -> None:
    await t.create("create", config_map("before"))
    await t.delete("delete the namespace", r.NAMESPACE, t.namespace)
    await t.delete("delete it again", r.NAMESPACE, t.namespace)
    await t.create("create meanwhile", config_map("after"))
    await t.create("create one of ours", deployment())
    await t.apply("apply what is not there", config_map("after"))
    await t.create("create what is there", config_map("before"))
    await t.patch("patch what is there", r.CONFIG_MAP, "before", {"data": {"key": "2"}})
    await t.delete("delete what is there", r.CONFIG_MAP, "before")
