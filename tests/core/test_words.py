"""What is written for others to read: words in messages, addresses in URLs, names on objects."""

from __future__ import annotations

from typing import Any

import pytest

from sluicegate.core import naming
from sluicegate.core.addresses import pod_url, service_url
from sluicegate.core.observed import Defaults
from sluicegate.core.plan import CancelReload, Consult, Inquire, Reload
from sluicegate.core.words import beginning_of, ending_of


@pytest.mark.parametrize("empty", [{}, {"status": None, "spec": None}, {"status": {}, "spec": {}}], ids=str)
def test_what_has_no_address_yet_is_not_asked(empty: dict[str, Any]) -> None:
    assert pod_url(empty, 8000) is None
    assert service_url(empty) is None
    assert service_url(None) is None


@pytest.mark.parametrize(("address", "host"), [("10.0.0.9", "10.0.0.9"), ("fd00::9", "[fd00::9]")])
def test_an_address_of_either_family_goes_into_a_url(address: str, host: str) -> None:
    assert pod_url({"status": {"podIP": address}}, 8000) == f"http://{host}:8000"
    assert service_url({"spec": {"clusterIP": address}}) == f"http://{host}"


@pytest.mark.parametrize(
    ("length", "ending", "beginning"),
    [
        (256, "a" + "b" * 255, "a" + "b" * 255),
        (257, "..." + "b" * 253, "a" + "b" * 252 + "..."),
    ],
)
def test_words_of_others_are_cut_to_what_a_message_holds(length: int, ending: str, beginning: str) -> None:
    words = "a" + "b" * (length - 1)
    assert (ending_of(words), beginning_of(words)) == (ending, beginning)


def test_no_secret_is_shown_where_what_is_seen_or_asked_is_printed() -> None:
    holders = (
        Defaults("", "", "", "", token_key=b"s3cret"),
        Inquire("pod", "uid", "url", token="s3cret", reason=""),
        Reload("pod", "uid", "url", token="s3cret", body={}, reason=""),
        CancelReload("pod", "uid", "url", token="s3cret", reason=""),
        Consult("subject", url="http://gate.test/?key=s3cret", question={}, timeout_seconds=1, reason=""),
    )
    assert not [each for each in holders if "s3cret" in repr(each)]


def test_names_on_objects_are_those_that_people_and_operators_of_other_versions_use() -> None:
    assert naming.colour_labels("chat", "0a1b2c3d") == {
        "app.kubernetes.io/managed-by": "sluicegate",
        "sluicegate.dev/deployment": "chat",
        "sluicegate.dev/rollout": "0a1b2c3d",
    }
    written = {text for name, text in vars(naming).items() if name.isupper() and "/" in text}
    ours = {each.removeprefix("sluicegate.dev/") for each in written if each.startswith("sluicegate.dev/")}
    others = {each for each in written if not each.startswith("sluicegate.dev/")}
    assert others == {"app.kubernetes.io/managed-by", "app.kubernetes.io/part-of"}
    assert ours == {
        "abort",
        "deployment",
        "exposed-since",
        "exposes",
        "in-use",
        "intent",
        "model-version",
        "not-in-place",
        "outcome",
        "promote",
        "reconcile",
        "reloaded",
        "retired",
        "retry",
        "rollout",
        "settings",
        "settled",
        "swaps",
        "target",
        "verification",
        "verifies",
    }
