"""A store that is killed at any step shows a model whole or not at all, and the next run finishes."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.store.builders import Model, a_model, mounts
from tests.store.inspecting import look

from sluicegate_store import layout
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.folder import Folder
from sluicegate_store.ingest import ingest
from sluicegate_store.layout import Store
from sluicegate_store.manifest import FileEntry
from sluicegate_store.progress import Progress
from sluicegate_store.source import SourceFile

STEPS = ("link", "unlink", "rename", "replace", "fsync", "chmod", "mkdir")


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    return a_model().write(tmp_path / "claim" / "m")


def take(tmp_path: Path, digest: str, uri: str = "pvc://claim/m", root: str = "store") -> Path:
    return ingest(Store(tmp_path / root), uri, None, digest, mounts(tmp_path), Progress())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_snapshot_holds_the_files_read_only_as_links_to_blobs(tmp_path, claim):
    digest = look(tmp_path).manifest.digest

    snapshot = take(tmp_path, digest)

    assert snapshot == tmp_path / "store" / "snapshots" / digest.removeprefix("sha256:")
    assert content(snapshot) == a_model().files
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o555
    for path in snapshot.iterdir():
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        blob = tmp_path / "store" / "blobs" / "sha256" / sha256[:2] / sha256
        assert blob.samefile(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    manifest = tmp_path / "store" / "manifests" / "sha256" / f"{snapshot.name}.json"
    assert f"sha256:{hashlib.sha256(manifest.read_bytes()).hexdigest()}" == digest
    assert not list((tmp_path / "store" / "incoming").iterdir())


def test_files_that_only_their_owner_may_read_become_readable(tmp_path, claim):
    (claim / "model.safetensors").chmod(0o600)

    snapshot = take(tmp_path, look(tmp_path).manifest.digest)

    assert stat.S_IMODE((snapshot / "model.safetensors").stat().st_mode) == 0o444


def test_two_models_share_the_files_they_have_in_common(tmp_path, claim):
    a_model(2).write(tmp_path / "claim" / "n")

    one = take(tmp_path, look(tmp_path).manifest.digest)
    two = take(tmp_path, look(tmp_path, "pvc://claim/n").manifest.digest, "pvc://claim/n")

    assert (one / "config.json").samefile(two / "config.json")
    assert not (one / "model.safetensors").samefile(two / "model.safetensors")


def test_what_is_held_is_verified_and_the_source_is_not_asked(tmp_path, claim):
    digest = look(tmp_path).manifest.digest
    snapshot = take(tmp_path, digest)
    before = snapshot.stat()
    shutil.rmtree(claim)

    assert take(tmp_path, digest) == snapshot
    assert snapshot.stat() == before


def damage(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(text)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_snapshot_is_replaced_from_the_source(tmp_path, claim, file):
    digest = look(tmp_path).manifest.digest
    damage(take(tmp_path, digest) / file)

    assert content(take(tmp_path, digest)) == a_model().files


def test_a_snapshot_that_the_disk_cannot_read_back_is_replaced(tmp_path, claim, monkeypatch):
    digest = look(tmp_path).manifest.digest
    snapshot = take(tmp_path, digest)
    lost, real = (snapshot / "config.json").stat().st_ino, layout.hash_file

    def fail(folder: Folder, file: SourceFile, progress: Progress) -> FileEntry:
        if (folder.root / file.name).stat().st_ino == lost:
            raise OSError(errno.EIO, "Input/output error")
        return real(folder, file, progress)

    monkeypatch.setattr(layout, "hash_file", fail)
    assert take(tmp_path, digest) == snapshot
    assert content(snapshot) == a_model().files
    assert (snapshot / "config.json").stat().st_ino != lost


def test_a_damaged_snapshot_is_never_given_out_when_the_source_is_gone(tmp_path, claim):
    digest = look(tmp_path).manifest.digest
    damage(take(tmp_path, digest) / "model.safetensors")
    shutil.rmtree(claim)

    with pytest.raises(StoreError) as caught:
        take(tmp_path, digest)
    assert caught.value.reason == Reason.SOURCE_NOT_FOUND
    assert Store(tmp_path / "store").snapshot(digest) is None


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"{}")])
def test_a_snapshot_without_a_true_manifest_is_taken_again(tmp_path, claim, change):
    digest = look(tmp_path).manifest.digest
    take(tmp_path, digest)
    (manifest,) = (tmp_path / "store" / "manifests" / "sha256").iterdir()
    change(manifest)

    take(tmp_path, digest)

    assert f"sha256:{hashlib.sha256(manifest.read_bytes()).hexdigest()}" == digest


def test_another_content_than_expected_is_not_published(tmp_path, claim):
    digest = look(tmp_path).manifest.digest
    (claim / "tokenizer.json").write_bytes(b"changed")

    with pytest.raises(StoreError) as caught:
        take(tmp_path, digest)

    assert caught.value.reason == Reason.DIGEST_MISMATCH
    assert digest in caught.value.message
    assert look(tmp_path).manifest.digest in caught.value.message
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_volume_without_room_is_refused_with_numbers_before_a_byte_is_written(tmp_path, claim, monkeypatch):
    digest = look(tmp_path).manifest.digest
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=67_108_900))

    with pytest.raises(StoreError) as caught:
        take(tmp_path, digest)

    assert caught.value.reason == Reason.INSUFFICIENT_DISK
    assert "67,108,900 free" in caught.value.message
    assert not list((tmp_path / "store" / "incoming").iterdir())


def test_a_volume_that_fills_up_midway_says_so(tmp_path, claim, monkeypatch):
    digest = look(tmp_path).manifest.digest

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        take(tmp_path, digest)

    assert caught.value.reason == Reason.INSUFFICIENT_DISK
    assert not list((tmp_path / "store" / "incoming").iterdir())


def test_a_volume_that_fails_is_worth_another_try(tmp_path, claim, monkeypatch):
    digest = look(tmp_path).manifest.digest

    def failing(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StoreError) as caught:
        take(tmp_path, digest)

    assert (caught.value.reason, caught.value.retryable) == (Reason.STORE_FAILED, True)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run work in a child that dies before its step-th change of the disk; False where it got to the end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = step

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def step_or_die(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return call(*arguments, **named)

        return step_or_die

    for name in STEPS:
        setattr(os, name, dying(getattr(os, name)))
    try:
        work()
    finally:
        os._exit(0)


def kills(prepare: Callable[[], object], work: Callable[[], object]) -> Iterator[int]:
    """Each step at which the work can be killed, after the kill."""
    for step in itertools.count():
        prepare()
        if not killed_at(step, work):
            return
        yield step


def a_small_model(seed: int) -> Model:
    """As few files as a model can have: each adds steps to be killed at."""
    whole = a_model(seed)
    return Model({name: whole.files[name] for name in ("config.json", "model.safetensors")})


@pytest.mark.parametrize("before", ["empty", "neighbour", "damaged"])
def test_a_kill_between_any_two_steps_leaves_nothing_or_everything(tmp_path, before):
    model = a_small_model(1)
    model.write(tmp_path / "claim" / "m")
    a_small_model(2).write(tmp_path / "claim" / "n")
    digest, other = (look(tmp_path, f"pvc://claim/{name}").manifest.digest for name in ("m", "n"))

    def prepare() -> None:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        if before == "neighbour":
            take(tmp_path, other, "pvc://claim/n")
        if before == "damaged":
            damage(take(tmp_path, digest) / "config.json")

    absent = whole = 0
    for step in kills(prepare, lambda: take(tmp_path, digest)):
        store = Store(tmp_path / "store")
        snapshot = store.snapshot(digest)
        if snapshot is None:
            absent += 1
        else:
            assert set(content(snapshot)) == set(model.files), step
            whole += content(snapshot) == model.files
        store.clean_incoming()
        assert content(take(tmp_path, digest)) == model.files, step
        assert store.verified(digest, Progress()) is not None

    # without both outcomes the kills did not fall where they should
    assert absent > 10
    assert whole >= 1


def test_a_new_writer_removes_what_a_killed_one_left(tmp_path):
    store = Store(tmp_path)
    left = tmp_path / "incoming" / "x"
    (left / "files").mkdir(parents=True)
    (left / "files" / "a").write_bytes(b"x")
    (left / "files").chmod(0o555)
    (tmp_path / "incoming" / "stray").write_bytes(b"x")

    store.clean_incoming()

    assert not list((tmp_path / "incoming").iterdir())


def test_two_ingests_of_the_same_model_at_once_both_succeed(tmp_path, claim):
    digest = look(tmp_path).manifest.digest
    for attempt in range(20):
        barrier = threading.Barrier(4)

        def one(_: int, attempt: int = attempt, barrier: threading.Barrier = barrier) -> Path:
            barrier.wait()
            return take(tmp_path, digest, root=f"store-{attempt}")

        with ThreadPoolExecutor(4) as pool:
            snapshots = set(pool.map(one, range(4)))

        (snapshot,) = snapshots
        assert content(snapshot) == a_model().files
        assert not list((tmp_path / f"store-{attempt}" / "incoming").iterdir())


def test_two_models_that_share_files_can_arrive_at_once(tmp_path, claim):
    a_model(2).write(tmp_path / "claim" / "n")
    uris = ("pvc://claim/m", "pvc://claim/n")
    digests = [look(tmp_path, uri).manifest.digest for uri in uris]

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda pair: take(tmp_path, *pair), zip(digests, uris, strict=True))

    assert content(one) == a_model(1).files
    assert content(two) == a_model(2).files
