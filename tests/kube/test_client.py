"""The client above a scripted transport: what it asks, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.kube.scripted import Asked, Scripted, line, ok, refusal, silence

from sluicegate.kube import errors, resources
from sluicegate.kube.client import Client, WatchEvent
from sluicegate.kube.transport import Response

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}}
PATH = "/api/v1/namespaces/ns/configmaps"


def client(transport: Scripted, **options: Any) -> Client:
    return Client(transport, **options)


async def collect(of: Client, **options: Any) -> list[WatchEvent]:
    watch = of.watch(resources.CONFIG_MAP, "ns", resource_version="7", **options)
    return [event async for event in watch]


async def test_a_create_posts_to_the_collection_in_the_managers_name() -> None:
    transport = Scripted([ok(CONFIG_MAP, 201)])

    created = await client(transport).create(CONFIG_MAP, "sluicegate")

    assert created == CONFIG_MAP
    assert transport.asked == [
        Asked("POST", PATH, {"fieldManager": "sluicegate"}, CONFIG_MAP, "application/json")
    ]


async def test_an_apply_patches_the_object_or_its_subresource() -> None:
    transport = Scripted([ok(CONFIG_MAP), ok(CONFIG_MAP)])

    await client(transport).apply(CONFIG_MAP, "sluicegate", force=True)
    await client(transport).apply(CONFIG_MAP, "sluicegate-status", subresource="status")

    apply = "application/apply-patch+yaml"
    assert transport.asked == [
        Asked("PATCH", f"{PATH}/a", {"fieldManager": "sluicegate", "force": "true"}, CONFIG_MAP, apply),
        Asked(
            "PATCH",
            f"{PATH}/a/status",
            {"fieldManager": "sluicegate-status", "force": "false"},
            CONFIG_MAP,
            apply,
        ),
    ]


async def test_a_merge_patch_and_a_replace_name_their_target() -> None:
    transport = Scripted([ok(CONFIG_MAP), ok(CONFIG_MAP)])

    await client(transport).patch_merge(resources.CONFIG_MAP, "ns", "a", {"data": None}, "me")
    await client(transport).replace(CONFIG_MAP, "me")

    assert transport.asked == [
        Asked("PATCH", f"{PATH}/a", {"fieldManager": "me"}, {"data": None}, "application/merge-patch+json"),
        Asked("PUT", f"{PATH}/a", {"fieldManager": "me"}, CONFIG_MAP, "application/json"),
    ]


async def test_a_service_is_asked_through_the_api_server() -> None:
    named = {"x-sluicegate-model-version": "v1"}
    transport = Scripted([Response(200, b'{"version": "0.32.0"}', named), ok({"tokens": [1]})])
    told, headers = await client(transport).ask("ns", "chat", "GET", "/version")
    assert (told, headers) == ({"version": "0.32.0"}, named)
    await client(transport).ask("ns", "chat", "POST", "/tokenize", {"prompt": "a"})
    proxy = "/api/v1/namespaces/ns/services/chat:http/proxy"
    assert transport.asked == [
        Asked("GET", f"{proxy}/version", {}, None, "application/json"),
        Asked("POST", f"{proxy}/tokenize", {}, {"prompt": "a"}, "application/json"),
    ]


async def test_what_a_service_refuses_is_told_in_its_words() -> None:
    body = b'{"error": {"message": "no such token", "code": 400}}'
    with pytest.raises(errors.BadRequest, match="no such token"):
        await client(Scripted([Response(400, body, {})])).ask("ns", "chat", "POST", "/v1/completions", {})


async def test_a_delete_carries_only_the_preconditions_given() -> None:
    transport = Scripted([ok({}), ok({})])

    await client(transport).delete(resources.CONFIG_MAP, "ns", "a", uid="u", resource_version="5")
    await client(transport).delete(resources.CONFIG_MAP, "ns", "a", propagation="Orphan", grace_seconds=0)

    guarded, plain = (asked.body for asked in transport.asked)
    assert guarded is not None
    assert guarded["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert guarded["propagationPolicy"] == "Background"
    assert plain is not None
    assert "preconditions" not in plain
    assert (plain["propagationPolicy"], plain["gracePeriodSeconds"]) == ("Orphan", 0)


async def test_a_list_reads_all_pages_and_names_the_kind_of_each_item() -> None:
    transport = Scripted(
        [
            ok(
                {
                    "metadata": {"resourceVersion": "9", "continue": "c"},
                    "items": [{"metadata": {"name": "a"}}],
                }
            ),
            ok({"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "b"}}]}),
        ]
    )

    listing = await client(transport).list(
        resources.CONFIG_MAP, "ns", label_selector="a=b", keep=lambda item: {**item, "kept": True}
    )

    assert listing.resource_version == "9"
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert all(
        (item["apiVersion"], item["kind"], item["kept"]) == ("v1", "ConfigMap", True)
        for item in listing.items
    )
    assert [asked.query for asked in transport.asked] == [
        {"labelSelector": "a=b", "limit": "500"},
        {"labelSelector": "a=b", "limit": "500", "continue": "c"},
    ]


async def test_a_list_of_nothing_is_empty() -> None:
    listing = await client(Scripted([ok({"metadata": {"resourceVersion": "9"}, "items": None})])).list(
        resources.POD
    )

    assert listing.items == []


async def test_a_watch_puts_lines_together_and_passes_bookmarks_on() -> None:
    whole = line("ADDED", {"n": 1}) + line("BOOKMARK", {"n": 2})
    transport = Scripted(chunks=[whole[:10], whole[10:40], whole[40:]])

    events = await collect(client(transport))

    assert events == [WatchEvent("ADDED", {"n": 1}), WatchEvent("BOOKMARK", {"n": 2})]
    assert transport.asked[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "290",
    }
    assert transport.closed_streams == 1


async def test_a_line_of_a_watch_may_be_larger_than_any_buffer() -> None:
    transport = Scripted(chunks=[line("ADDED", {"n": "x" * 3_000_000})])

    (event,) = await collect(client(transport))

    assert len(event.object["n"]) == 3_000_000


async def test_a_watch_from_too_far_back_is_gone_however_it_is_told() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    told_inside = Scripted(chunks=[line("ERROR", status)])
    told_at_once = Scripted(chunks=[refusal(410, "Expired").body], stream_status=410)

    for transport in (told_inside, told_at_once):
        with pytest.raises(errors.Gone):
            await collect(client(transport))
        assert transport.closed_streams == 1


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([line("ADDED", {})[:8]], "ConnectionLost"),
        ([ConnectionResetError("reset")], "ConnectionLost"),
        ([b"not json\n"], "TornAnswer"),
        ([b"[]\n"], "TornAnswer"),
        ([silence], "WatchStalled"),
    ],
)
async def test_a_torn_or_silent_watch_is_unavailable(chunks: list[Any], reason: str) -> None:
    transport = Scripted(chunks=chunks)

    with pytest.raises(errors.Unavailable) as raised:
        await collect(client(transport), inactivity=0.01)

    assert (raised.value.code, raised.value.reason) == (0, reason)
    assert transport.closed_streams == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (silence, "Timeout"),
        (TimeoutError(), "Timeout"),
        (ConnectionRefusedError("refused"), "ConnectionLost"),
        (Response(200, b'{"a":'), "TornAnswer"),
    ],
)
async def test_a_request_without_a_whole_answer_is_unavailable(answer: Any, reason: str) -> None:
    with pytest.raises(errors.Unavailable) as raised:
        await client(Scripted([answer]), timeout=0.01).get(resources.POD, "ns", "p")

    assert (raised.value.code, raised.value.reason) == (0, reason)


async def test_every_request_is_told_to_the_metrics() -> None:
    told: list[tuple[str, str, int]] = []
    transport = Scripted(
        [ok({}), refusal(404, "NotFound"), ConnectionResetError()], chunks=[line("ADDED", {})]
    )
    reporting = client(
        transport, on_request=lambda verb, kind, code, seconds: told.append((verb, kind, code))
    )

    await reporting.get(resources.POD, "ns", "p")
    with pytest.raises(errors.NotFound):
        await reporting.delete(resources.POD, "ns", "p")
    with pytest.raises(errors.Unavailable):
        await reporting.create(CONFIG_MAP, "me")
    await collect(reporting)

    assert told == [
        ("get", "Pod", 200),
        ("delete", "Pod", 404),
        ("create", "ConfigMap", 0),
        ("watch", "ConfigMap", 200),
    ]


class NotLeaderError(Exception):
    pass


def refuse() -> None:
    raise NotLeaderError


async def test_a_refused_write_is_never_sent_and_reads_go_on() -> None:
    transport = Scripted([ok({})])
    follower = client(transport, before_write=refuse)

    for write in (
        follower.create(CONFIG_MAP, "me"),
        follower.apply(CONFIG_MAP, "me"),
        follower.replace(CONFIG_MAP, "me"),
        follower.patch_merge(resources.POD, "ns", "p", {}, "me"),
        follower.delete(resources.POD, "ns", "p"),
    ):
        with pytest.raises(NotLeaderError):
            await write
    await follower.get(resources.POD, "ns", "p")

    assert [asked.method for asked in transport.asked] == ["GET"]


async def test_leadership_is_asked_after_the_wait_for_a_slot() -> None:
    # given the only slot taken by a slow read, and leadership lost meanwhile
    release, leading = asyncio.Event(), True

    async def slow() -> Any:
        await release.wait()
        return ok({})

    def check() -> None:
        if not leading:
            raise NotLeaderError

    transport = Scripted([slow])
    narrow = client(transport, concurrency=1, before_write=check)
    read = asyncio.create_task(narrow.get(resources.POD, "ns", "p"))
    write = asyncio.create_task(narrow.create(CONFIG_MAP, "me"))
    await asyncio.sleep(0)
    leading = False

    # when the slot comes free
    release.set()
    await read

    # then the write is refused, unsent
    with pytest.raises(NotLeaderError):
        await write
    assert len(transport.asked) == 1
