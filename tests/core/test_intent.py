"""Intents held against live objects whose managedFields are those of a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluicegate.core.intent import owns_annotation, stamped, write
from sluicegate.core.naming import INTENT
from sluicegate.core.plan import Apply, Create, Replace

SERVICE = stamped(
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "chat",
            "namespace": "models",
            "labels": {"app.kubernetes.io/managed-by": "sluicegate"},
            "ownerReferences": [{"uid": "7d1c", "name": "chat", "controller": True}],
            "finalizers": ["example.org/one"],
        },
        "spec": {
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8000}],
            "selector": {"sluicegate.dev/deployment": "chat", "sluicegate.dev/rollout": "0a1b2c3d"},
        },
    }
)
METADATA: dict[str, Any] = {
    "f:annotations": {".": {}, f"f:{INTENT}": {}},
    "f:labels": {".": {}, "f:app.kubernetes.io/managed-by": {}},
    "f:ownerReferences": {".": {}, 'k:{"uid":"7d1c"}': {}},
    "f:finalizers": {".": {}, 'v:"example.org/one"': {}},
}
PORT: dict[str, Any] = {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}
CREATED = {
    "f:metadata": METADATA,
    "f:spec": {
        "f:internalTrafficPolicy": {},
        "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': PORT},
        "f:selector": {},
        "f:sessionAffinity": {},
        "f:type": {},
    },
}
ROLLOUT = "f:sluicegate.dev/rollout"


def live(*entries: dict[str, Any], foreign: tuple[str, ...] = (), intent: str | None = None) -> Any:
    annotations = {INTENT: intent or SERVICE["metadata"]["annotations"][INTENT]}
    return {
        **SERVICE,
        "metadata": {
            **SERVICE["metadata"],
            "annotations": annotations,
            "uid": "9e2f",
            "resourceVersion": "41",
        },
        "owned": {"ours": [json.dumps(entry) for entry in entries], "foreign": list(foreign)},
    }


def without(*path: str) -> dict[str, Any]:
    """The entry of a create after somebody else took the field at this path."""
    entry: dict[str, Any] = json.loads(json.dumps(CREATED))
    node = entry
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return entry


def test_what_is_not_there_is_created() -> None:
    assert write(SERVICE, None, "why") == Create(SERVICE, "why")


def test_what_is_as_it_was_created_is_left_alone() -> None:
    assert write(SERVICE, live(CREATED), "why") is None


PORT_PATH = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}')
LOST = {
    "a whole map": ("f:spec", "f:selector"),
    "a label": ("f:metadata", "f:labels", "f:app.kubernetes.io/managed-by"),
    "an item of a list with keys": PORT_PATH,
    "a field of an item": (*PORT_PATH, "f:targetPort"),
    "an item of a set": ("f:metadata", "f:finalizers", 'v:"example.org/one"'),
    "an owner": ("f:metadata", "f:ownerReferences", 'k:{"uid":"7d1c"}'),
    "the intent's annotation": ("f:metadata", "f:annotations", f"f:{INTENT}"),
    "everything in spec": ("f:spec",),
}


@pytest.mark.parametrize("path", LOST.values(), ids=LOST)
def test_a_field_that_somebody_took_is_taken_back(path: tuple[str, ...]) -> None:
    assert write(SERVICE, live(without(*path)), "why") == Apply(SERVICE, "9e2f", "41", "why")


def test_a_map_of_which_only_the_shell_is_ours_is_taken_back() -> None:
    entry = without("f:spec", "f:selector")
    entry["f:spec"]["f:selector"] = {".": {}}
    assert isinstance(write(SERVICE, live(entry), "why"), Apply)
    entry["f:spec"]["f:selector"] = {".": {}, "f:sluicegate.dev/deployment": {}}
    assert isinstance(write(SERVICE, live(entry), "why"), Apply)
    entry["f:spec"]["f:selector"][ROLLOUT] = {}
    assert write(SERVICE, live(entry), "why") is None


def test_a_map_that_somebody_emptied_is_filled_again() -> None:
    limits = {"nvidia.com/gpu": "1"}
    spec = {"resources": {"limits": limits}, "scratch": {}}
    intent = stamped({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec})
    notes: dict[str, Any] = {"f:annotations": {f"f:{INTENT}": {}}}
    full = {".": {}, "f:limits": {".": {}, "f:nvidia.com/gpu": {}}}
    for resources, ours in ((full, True), ({}, False), ({".": {}, "f:limits": {}}, False)):
        entry = {"f:metadata": notes, "f:spec": {"f:resources": resources, "f:scratch": {}}}
        obj = {
            **intent,
            "metadata": {**intent["metadata"], "uid": "1", "resourceVersion": "1"},
            "owned": {"ours": [json.dumps(entry)], "foreign": []},
        }
        assert (write(intent, obj, "why") is None) == ours


@pytest.mark.parametrize(
    "key", ["data", "labelSelector", "nodeSelector", "podSelector", "secretKeyRef", "selector"]
)
def test_a_map_that_the_server_records_as_one_value_is_ours_as_a_whole(key: str) -> None:
    intent, live = owned([{"f:inner": {f"f:{key}": {}}}], inner={key: {"a": "b"}})
    assert write(intent, live, "why") is None


def test_a_structure_where_a_plain_value_was_intended_is_taken_back() -> None:
    entry = without("f:metadata", "f:labels", "f:app.kubernetes.io/managed-by")
    entry["f:metadata"]["f:labels"]["f:app.kubernetes.io/managed-by"] = {"f:theirs": {}}
    assert isinstance(write(SERVICE, live(entry), "why"), Apply)


def test_the_entries_of_the_create_and_of_a_later_apply_count_together() -> None:
    first, second = without(*PORT_PATH), {"f:spec": {"f:ports": {PORT_PATH[-1]: PORT}}}
    assert write(SERVICE, live(first, second), "why") is None
    assert isinstance(write(SERVICE, live(second), "why"), Apply)


def test_an_object_of_which_nothing_is_ours_any_more_is_taken_back() -> None:
    assert isinstance(write(SERVICE, live(), "why"), Apply)


def test_another_intent_is_applied() -> None:
    assert isinstance(write(SERVICE, live(CREATED, intent="0"), "why"), Apply)


def test_what_others_added_inside_is_replaced() -> None:
    action = write(SERVICE, live(CREATED, foreign=("kubectl-edit",)), "why")
    assert action == Replace(SERVICE, "9e2f", "41", "somebody else added to it")


def test_a_record_that_others_own_as_well_is_left_alone_for_its_content_never_changes() -> None:
    record = stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {"name": "chat-0a1b2c3d"},
            "data": {"target": "x"},
        }
    )
    ours = {"f:metadata": {"f:annotations": {f"f:{INTENT}": {}}}, "f:data": {}}
    shared = {
        **record,
        "metadata": {**record["metadata"], "uid": "1", "resourceVersion": "1"},
        "owned": {"ours": [json.dumps(ours)], "foreign": ["gitops"]},
    }
    assert write(record, shared, "why") is None


def test_a_list_whose_items_are_no_set_is_whole_or_not_ours() -> None:
    intent = stamped(
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"args": ["a", "b"]}}
    )
    notes: dict[str, Any] = {"f:annotations": {f"f:{INTENT}": {}}}
    whole = {"f:metadata": notes, "f:spec": {"f:args": {}}}
    half = {"f:metadata": notes, "f:spec": {"f:args": {'v:"a"': {}}}}
    for entry, ours in ((whole, True), (half, False)):
        obj = {
            **intent,
            "metadata": {**intent["metadata"], "uid": "1", "resourceVersion": "1"},
            "owned": {"ours": [json.dumps(entry)], "foreign": []},
        }
        assert (write(intent, obj, "why") is None) == ours


def test_a_key_that_the_server_filled_in_still_names_the_item() -> None:
    port = {"port": 80}
    intent = stamped({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"ports": [port]}})
    entry = {
        "f:metadata": {"f:annotations": {f"f:{INTENT}": {}}},
        "f:spec": {"f:ports": {PORT_PATH[-1]: {"f:port": {}}}},
    }
    obj = {
        **intent,
        "metadata": {**intent["metadata"], "uid": "1", "resourceVersion": "1"},
        "owned": {"ours": [json.dumps(entry)], "foreign": []},
    }
    assert write(intent, obj, "why") is None


def test_the_stamp_follows_the_content_and_not_the_order_of_keys() -> None:
    turned = {key: SERVICE[key] for key in reversed(SERVICE)}
    del turned["metadata"]
    turned["metadata"] = {**SERVICE["metadata"], "annotations": {}}
    plain = {**SERVICE, "metadata": {**SERVICE["metadata"], "annotations": {}}}
    assert stamped(turned)["metadata"]["annotations"] == stamped(plain)["metadata"]["annotations"]
    other = {**plain, "spec": {}}
    assert stamped(other)["metadata"]["annotations"] != stamped(plain)["metadata"]["annotations"]


def owned(entries: list[dict[str, Any]], **spec: Any) -> tuple[Any, Any]:
    """An intent with this spec, and the live object that was written from it with these entries."""
    intent = stamped({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec})
    notes = {"f:metadata": {"f:annotations": {f"f:{INTENT}": {}}}}
    meta = {**intent["metadata"], "uid": "1", "resourceVersion": "1"}
    texts = [json.dumps({**notes, "f:spec": entry}) for entry in entries]
    return intent, {**intent, "metadata": meta, "owned": {"ours": texts, "foreign": []}}


def test_an_item_of_which_another_one_is_owned_is_taken_back() -> None:
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]
    fields = {"f:port": {}, "f:protocol": {}}
    first, second = (f"k:{json.dumps(port)}" for port in ports)
    intent, live = owned([{"f:ports": {first: fields, second: fields}}], ports=ports)
    assert write(intent, live, "why") is None
    intent, live = owned([{"f:ports": {first: fields}}], ports=ports)
    assert isinstance(write(intent, live, "why"), Apply)


def test_a_list_of_words_that_somebody_made_one_of_structures_is_taken_back() -> None:
    intent, live = owned([{"f:args": {'k:{"name":"a"}': {"f:name": {}}}}], args=["a"])
    assert isinstance(write(intent, live, "why"), Apply)


def test_two_entries_that_own_parts_of_one_map_own_it_together() -> None:
    entries = [{"f:a": {"f:b": {"f:c": {}}}}, {"f:a": {"f:b": {"f:d": {}}}}]
    intent, live = owned(entries, a={"b": {"c": 1, "d": 2}})
    assert write(intent, live, "why") is None
    intent, live = owned(entries, a={"b": {"c": 1, "d": 2, "e": 3}})
    assert isinstance(write(intent, live, "why"), Apply)


def test_an_annotation_is_ours_while_any_entry_of_ours_has_it() -> None:
    noted = {"f:metadata": {"f:annotations": {"f:a": {}}}}
    assert owns_annotation({"owned": {"ours": [json.dumps(noted), "{}"]}}, "a")
    assert not owns_annotation({"owned": {"ours": [json.dumps(noted), "{}"]}}, "b")
    assert not owns_annotation({"owned": {"ours": []}}, "a")
