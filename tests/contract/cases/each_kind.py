"""What holds for every kind that the operator writes."""

from __future__ import annotations

from tests.contract.cases.table import OTHER, per_kind
from tests.contract.objects import Object, having
from tests.contract.transcript import Transcript

from sluicegate.kube import resources as r


@per_kind
async def create_then_apply(t: Transcript, obj: Object) -> None:
    resource, name = r.resource_of(obj), obj["metadata"]["name"]
    labelled = having(obj, labels={"a": "1", "b": "2"}, annotations={"sluicegate.dev/intent": "x"})
    created = await t.create("create", labelled)
    await t.create("create again", labelled)
    with_uid = having(labelled, uid=created["metadata"]["uid"])
    await t.apply("apply the same", with_uid, force=True)
    await t.apply("apply the same again", with_uid, force=True)
    await t.apply("apply with a label less", having(with_uid, labels={"a": "1"}), force=True)
    # A Job and a ControllerRevision name further fields, which follow from the uid.
    if obj["kind"] not in ("Job", "ControllerRevision"):
        await t.apply("apply of another uid", having(labelled, uid="another"), force=True)
    await t.get("get", resource, name)
    await t.delete("delete", resource, name)


@per_kind
async def apply_creates(t: Transcript, obj: Object) -> None:
    await t.apply("apply a uid that is not there", having(obj, uid="gone"), force=True)
    await t.apply("apply", obj)
    await t.apply("apply again", obj)
    await t.get("get", r.resource_of(obj), obj["metadata"]["name"])


@per_kind
async def foreign_labels_stay(t: Transcript, obj: Object) -> None:
    resource, name = r.resource_of(obj), obj["metadata"]["name"]
    await t.create("create", obj)
    theirs = {"metadata": {"labels": {"theirs": "1"}}}
    await t.patch("somebody labels", resource, name, theirs, OTHER)
    await t.patch("somebody labels again", resource, name, theirs, OTHER)
    await t.apply("apply", having(obj, labels={"ours": "1"}), force=True)
    await t.patch("somebody removes all labels", resource, name, {"metadata": {"labels": None}}, OTHER)
