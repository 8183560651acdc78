"""Lists and watches."""

from __future__ import annotations

from tests.contract.cases.table import case
from tests.contract.objects import config_map, deployment, having
from tests.contract.transcript import Transcript

from sluicegate.kube import resources as r

SELECTORS = (
    "",
    "app=x",
    "app==x",
    "app!=x",
    "app",
    "!app",
    "app in (x, y)",
    "app notin (x)",
    "app=y,tier=1",
    "app=x,tier=1",
    "tier",
)


@case
async def lists_select_by_label_and_field(t: Transcript) -> None:
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "y", "tier": "1"}), ("c", {})):
        await t.create(name, having(config_map(name), labels=labels))
    for selector in SELECTORS:
        await t.listing(f"labels {selector}", r.CONFIG_MAP, label_selector=selector)
    await t.listing("name", r.CONFIG_MAP, field_selector="metadata.name=b")
    await t.listing("not name", r.CONFIG_MAP, field_selector="metadata.name!=b")
    await t.listing("unknown field", r.CONFIG_MAP, field_selector="data.key=1")
    await t.listing("broken", r.CONFIG_MAP, label_selector="a b")
    await t.listing("pages", r.CONFIG_MAP, page_size=1)
    await t.listing("nowhere", r.CONFIG_MAP, namespace="nowhere")


@case
async def a_watch_goes_on_from_a_list(t: Transcript) -> None:
    listed = await t.listing("empty", r.CONFIG_MAP)
    await t.create("create", config_map())
    await t.apply("change", config_map(a="2"), force=True)
    await t.apply("no change", config_map(a="2"), force=True)
    await t.create("another", config_map("b"))
    await t.delete("delete", r.CONFIG_MAP, "a")
    await t.watched("changes", r.CONFIG_MAP, 4, resource_version=listed.resource_version)
    await t.watched("from the beginning", r.CONFIG_MAP, 1, resource_version="0")


@case
async def a_watch_sees_objects_enter_and_leave_its_selector(t: Transcript) -> None:
    listed = await t.listing("empty", r.CONFIG_MAP)
    await t.create("unlabelled", config_map())
    for labels in ({"app": "x"}, {"app": "x", "more": "1"}, {"app": "y"}, {"app": "x"}):
        await t.apply(f"labels {labels}", having(config_map(), labels=labels), force=True)
    await t.delete("delete", r.CONFIG_MAP, "a")
    version = listed.resource_version
    await t.watched("app=x", r.CONFIG_MAP, 5, resource_version=version, label_selector="app=x")


@case
async def a_watch_of_a_terminating_object_ends_with_its_last_state(t: Transcript) -> None:
    listed = await t.listing("empty", r.LLM_DEPLOYMENT)
    await t.create("create", having(deployment(), finalizers=["sluicegate.dev/a"]))
    await t.delete("delete", r.LLM_DEPLOYMENT, "chat")
    await t.patch("release", r.LLM_DEPLOYMENT, "chat", {"metadata": {"finalizers": None}})
    await t.watched("changes", r.LLM_DEPLOYMENT, 3, resource_version=listed.resource_version)
