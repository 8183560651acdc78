"""The hub, through huggingface_hub itself, against a server that speaks its endpoints."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.store.builders import FIRST, SECOND, Array, Model, a_model, a_sharded_model, mounts
from tests.store.conftest import RunningHub
from tests.store.inspecting import look as look_at_claim

from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.ingest import ingest, open_source
from sluicegate_store.inspection import Inspection, inspect
from sluicegate_store.layout import Store
from sluicegate_store.progress import Progress

COMMIT = "0123456789abcdef0123456789abcdef01234567"
URI = f"hf://org/model@{COMMIT}"
BIG = 3 << 20


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)


def publish(hub: RunningHub, model: Model | None = None) -> Path:
    return (model or a_model()).write(hub.hub.root / "org" / "model" / COMMIT)


def look(hub: RunningHub, scratch: Path, uri: str = URI, token: str | None = None) -> Inspection:
    source = open_source(uri, hub.endpoint, mounts(scratch, token))
    return inspect(source, uri, None, scratch, Progress())


def refusal(hub: RunningHub, scratch: Path, uri: str = URI, token: str | None = None) -> StoreError:
    with pytest.raises(StoreError) as caught:
        look(hub, scratch, uri, token)
    return caught.value


def a_big_model() -> Model:
    return a_model().weights({"a": Array("U8", (BIG,), bytes(range(256)) * (BIG >> 8))})


def test_a_model_on_the_hub_has_the_digest_it_has_on_a_claim(hub, tmp_path):
    publish(hub, a_sharded_model())
    a_sharded_model().write(tmp_path / "claim" / "m")

    assert look(hub, tmp_path).manifest == look_at_claim(tmp_path).manifest


def test_ingest_publishes_what_the_hub_holds_and_leaves_nothing_else(hub, tmp_path):
    folder = publish(hub, a_model().put(README__md=b"x"))
    a_model().put(pytorch_model__bin=b"x").write(folder / "original")
    digest = look(hub, tmp_path).manifest.digest
    store = Store(tmp_path / "store")

    snapshot = ingest(store, URI, hub.endpoint, digest, mounts(tmp_path), Progress())

    assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == a_model().files
    assert not list((store.root / "incoming").iterdir())
    assert not [request for request in hub.hub.requests if "README" in request[1]]


def test_weights_are_not_fetched_for_a_model_whose_small_files_are_wrong(hub, tmp_path):
    publish(hub, a_model().put(config__json=b"{"))

    assert refusal(hub, tmp_path).reason == Reason.CONFIG_INVALID
    assert not [path for _, path, _ in hub.hub.requests if path.endswith(".safetensors")]


def test_a_missing_shard_is_seen_in_the_list(hub, tmp_path):
    folder = publish(hub, a_sharded_model())
    (folder / "model-00002-of-00002.safetensors").unlink()

    assert refusal(hub, tmp_path).reason == Reason.CHECKPOINT_INCOMPLETE


def test_a_pickle_is_refused_before_anything_is_fetched(hub, tmp_path):
    publish(hub, a_model().put(pytorch_model__bin=b"x"))

    assert refusal(hub, tmp_path).reason == Reason.UNSAFE_FORMAT
    assert not [path for _, path, _ in hub.hub.requests if "/resolve/" in path]


def test_the_token_opens_a_private_model(hub, tmp_path):
    hub.hub.token = "secret"
    publish(hub)

    assert look(hub, tmp_path, token="secret").manifest.files


def test_the_token_goes_to_the_hub_and_never_to_where_it_redirects(hub, tmp_path):
    hub.hub.token = "secret"
    hub.hub.cdn = hub.endpoint.replace("127.0.0.1", "localhost")
    publish(hub, a_big_model())

    assert look(hub, tmp_path, token="secret").manifest.files

    sent = {path.startswith("/cdn/"): authorization for _, path, authorization in hub.hub.requests}
    assert sent == {True: None, False: "Bearer secret"}


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_the_right_token_the_source_is_forbidden(hub, tmp_path, token, monkeypatch):
    # what a user's machine has lying about must not be sent either
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.hub.token = "secret"
    publish(hub)

    error = refusal(hub, tmp_path, token=token)

    assert error.reason == Reason.SOURCE_FORBIDDEN
    assert "wrong" not in error.message


def test_a_gated_model_is_forbidden(hub, tmp_path):
    publish(hub)
    hub.hub.faults.gated = True

    assert refusal(hub, tmp_path).reason == Reason.SOURCE_FORBIDDEN


@pytest.mark.parametrize("uri", [f"hf://org/none@{COMMIT}", f"hf://org/model@{'f' * 40}"])
def test_a_repository_or_commit_that_does_not_exist_is_not_found(hub, tmp_path, uri):
    publish(hub)

    error = refusal(hub, tmp_path, uri)

    assert error.reason == Reason.SOURCE_NOT_FOUND
    assert uri in error.message


@pytest.mark.parametrize("status", [429, 500, 503, 418])
def test_a_hub_in_trouble_is_unreachable_and_worth_another_try(hub, tmp_path, status):
    publish(hub)
    hub.hub.faults.status = status

    error = refusal(hub, tmp_path)

    assert (error.reason, error.retryable) == (Reason.SOURCE_UNREACHABLE, True)
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("status", "want"),
    [
        (403, Reason.SOURCE_FORBIDDEN),
        (401, Reason.SOURCE_FORBIDDEN),
        (404, Reason.SOURCE_NOT_FOUND),
        (503, Reason.SOURCE_UNREACHABLE),
    ],
)
def test_a_refusal_after_the_list_was_given_keeps_its_reason(hub, tmp_path, status, want):
    publish(hub)
    source = open_source(URI, hub.endpoint, mounts(tmp_path))
    hub.hub.faults.status = status

    with pytest.raises(StoreError) as caught:
        inspect(source, URI, None, tmp_path, Progress())
    assert caught.value.reason == want


def test_a_port_where_nobody_listens_is_unreachable(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"

    with pytest.raises(StoreError) as caught:
        open_source(URI, endpoint, mounts(tmp_path))
    assert (caught.value.reason, caught.value.retryable) == (Reason.SOURCE_UNREACHABLE, True)


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("sluicegate_store.hub._SILENCE_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        with pytest.raises(StoreError) as caught:
            open_source(URI, f"http://127.0.0.1:{silent.getsockname()[1]}", mounts(tmp_path))
    assert caught.value.reason == Reason.SOURCE_UNREACHABLE


def test_a_server_that_is_no_hub_is_unreachable(hub, tmp_path):
    publish(hub)
    hub.hub.faults.no_commit_header = True

    assert refusal(hub, tmp_path).reason == Reason.SOURCE_UNREACHABLE


@pytest.mark.parametrize(
    "answer",
    [
        "<html>Sign in</html>",
        '{"error": "no"}',
        "[1]",
        '[{"type": "file"}]',
        '[{"type": "file", "path": "a", "size": null, "oid": "0"}]',
        "null",
    ],
)
def test_a_server_that_lists_something_else_is_unreachable(hub, tmp_path, answer):
    publish(hub)
    hub.hub.faults.list_instead = answer

    assert refusal(hub, tmp_path).reason == Reason.SOURCE_UNREACHABLE


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/config.json", "..", "a\u0007.json", ""])
def test_a_file_name_that_leads_elsewhere_is_unsafe(hub, tmp_path, name):
    publish(hub)
    hub.hub.faults.list_instead = json.dumps([{"type": "file", "path": name, "size": 1, "oid": "0" * 40}])

    error = refusal(hub, tmp_path)

    assert (error.reason, error.retryable) == (Reason.UNSAFE_PATH, False)


def test_a_connection_reset_midway_is_resumed(hub, tmp_path):
    publish(hub, a_big_model())
    hub.hub.faults.reset_at = {"model.safetensors": [1 << 20, 2 << 20]}

    assert look(hub, tmp_path).manifest.files

    gets = [path for method, path, _ in hub.hub.requests if method == "GET" and path.endswith(".safetensors")]
    assert len(gets) == 3


def test_another_try_fetches_what_the_first_one_did_not_bring(hub, tmp_path):
    publish(hub, a_sharded_model())
    digest, store = look(hub, tmp_path).manifest.digest, Store(tmp_path / "store")
    hub.hub.faults.reset_at = {SECOND: [0] * 50}
    with pytest.raises(StoreError) as caught:
        ingest(store, URI, hub.endpoint, digest, mounts(tmp_path), Progress())
    assert caught.value.reason == Reason.SOURCE_UNREACHABLE
    assert not list((store.root / "incoming").iterdir())
    hub.hub.faults.reset_at = {}
    hub.hub.requests.clear()

    snapshot = ingest(store, URI, hub.endpoint, digest, mounts(tmp_path), Progress())

    assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == a_sharded_model().files
    assert not [path for _, path, _ in hub.hub.requests if path.endswith(FIRST)]
    assert [path for _, path, _ in hub.hub.requests if path.endswith(SECOND)]


def test_what_a_first_try_brought_and_the_disk_lost_is_fetched_again(hub, tmp_path):
    publish(hub, a_sharded_model())
    digest, store = look(hub, tmp_path).manifest.digest, Store(tmp_path / "store")
    hub.hub.faults.reset_at = {SECOND: [0] * 50}
    with pytest.raises(StoreError):
        ingest(store, URI, hub.endpoint, digest, mounts(tmp_path), Progress())
    (kept,) = (store.root / "blobs").glob("*/*/*")
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    hub.hub.faults.reset_at = {}

    snapshot = ingest(store, URI, hub.endpoint, digest, mounts(tmp_path), Progress())

    assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == a_sharded_model().files


def test_a_hash_that_is_none_is_not_what_a_hub_sends(hub, tmp_path):
    publish(hub)
    lfs = {"oid": "../" * 5 + "etc/passwd", "size": 1, "pointerSize": 1}
    file = {"type": "file", "path": "model.safetensors", "size": 1, "oid": "0" * 40, "lfs": lfs}
    hub.hub.faults.list_instead = json.dumps([file])

    assert refusal(hub, tmp_path).reason == Reason.SOURCE_UNREACHABLE


def test_a_connection_that_is_reset_each_time_is_unreachable_and_leaves_nothing(hub, tmp_path):
    publish(hub, a_big_model())
    hub.hub.faults.reset_at = {"model.safetensors": [0] * 50}
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    assert refusal(hub, scratch).reason == Reason.SOURCE_UNREACHABLE
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer_config.json"])
def test_other_bytes_than_the_commit_lists_are_refused_with_both_hashes(hub, tmp_path, file):
    publish(hub, a_model().put(tokenizer_config__json=b'{"a": 1}'))
    hub.hub.faults.other_bytes = {file}

    error = refusal(hub, tmp_path)

    assert error.reason == Reason.DIGEST_MISMATCH
    assert file in error.message
    assert "lists" in error.message


def test_a_file_that_shrank_since_it_was_announced_is_worth_another_try(hub, tmp_path):
    publish(hub)
    hub.hub.faults.one_byte_short = {"model.safetensors"}

    error = refusal(hub, tmp_path)

    assert (error.reason, error.retryable) == (Reason.SOURCE_UNREACHABLE, True)


def test_a_disk_that_fills_up_during_a_download_is_not_the_hubs_fault(hub, tmp_path, monkeypatch):
    publish(hub)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sluicegate_store.hub.hf_hub_download", full)
    assert refusal(hub, tmp_path).reason == Reason.INSUFFICIENT_DISK


def test_progress_counts_the_bytes_of_a_download(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 20)
    publish(hub, a_big_model())
    seen: list[tuple[str, int, int]] = []
    progress = Progress(lambda p: seen.append((p.phase, p.bytes_done, p.bytes_total)))

    source = open_source(URI, hub.endpoint, mounts(tmp_path))
    inspect(source, URI, None, tmp_path, progress)

    weights = len(a_big_model().files["model.safetensors"])
    assert ("Fetching", weights, weights) in seen
    assert len({done for phase, done, total in seen if (phase, total) == ("Fetching", weights)}) > 2
