"""A source on a claim: what is read of its folder, and what leads out of it."""

from __future__ import annotations

import os
import resource
import shutil
import socket

import pytest
from tests.store.builders import a_model
from tests.store.inspecting import as_an_ordinary_user, look, place, refusal

from sluicegate_store.directory import DirectorySource
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.progress import Progress
from sluicegate_store.source import SourceFile
from sluicegate_store.uri import ClaimUri


def test_a_link_within_the_source_is_followed(tmp_path):
    folder = place(tmp_path, a_model())
    plain = look(tmp_path).manifest
    (folder / "blob").mkdir()
    (folder / "model.safetensors").rename(folder / "blob" / "x")
    (folder / "model.safetensors").symlink_to("blob/x")

    assert look(tmp_path).manifest == plain


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "README.md", "folder"])
def test_a_link_that_leaves_the_source_is_unsafe(tmp_path, name):
    folder = place(tmp_path, a_model())
    outside = tmp_path / "claim" / "secret"
    shutil.copytree(folder, outside)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside / name if (outside / name).exists() else outside)

    error = refusal(tmp_path)
    assert error.reason == Reason.UNSAFE_PATH
    assert name in error.message


@pytest.mark.parametrize("swap", ["link", "fifo", "nothing"])
def test_a_file_that_is_swapped_after_it_was_listed_is_not_read(tmp_path, swap):
    folder = place(tmp_path, a_model())
    (tmp_path / "secret").write_bytes(b"secret")
    source = DirectorySource(ClaimUri("claim", "m"), tmp_path)
    (file,) = (file for file in source.files() if file.name == "config.json")
    (folder / "config.json").unlink()
    if swap == "link":
        (folder / "config.json").symlink_to(tmp_path / "secret")
    if swap == "fifo":
        os.mkfifo(folder / "config.json")

    with pytest.raises(StoreError) as caught:
        source.fetch(file, tmp_path / "copy", Progress())
    assert caught.value.reason == (Reason.CHECKPOINT_INCOMPLETE if swap == "nothing" else Reason.UNSAFE_PATH)
    assert not (tmp_path / "copy").exists()


def test_a_file_that_may_not_be_read_is_forbidden(tmp_path):
    folder = place(tmp_path, a_model())
    folder.joinpath("config.json").chmod(0)
    source = DirectorySource(ClaimUri("claim", "m"), tmp_path)
    (file,) = (file for file in source.files() if file.name == "config.json")
    with as_an_ordinary_user(tmp_path), pytest.raises(StoreError) as caught:
        source.fetch(file, tmp_path / "copy", Progress())
    assert caught.value.reason == Reason.SOURCE_FORBIDDEN


def test_a_source_that_is_a_link_out_of_its_claim_is_unsafe(tmp_path):
    a_model().write(tmp_path / "other" / "m")
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "m").symlink_to(tmp_path / "other" / "m")

    assert refusal(tmp_path).reason == Reason.UNSAFE_PATH


def test_a_dangling_link_is_an_incomplete_checkpoint(tmp_path):
    folder = place(tmp_path, a_model())
    (folder / "tokenizer.model").symlink_to("gone")

    assert refusal(tmp_path).reason == Reason.CHECKPOINT_INCOMPLETE


@pytest.mark.parametrize("name", [b"model\x07.safetensors", b"read\nme", b"\xff.json"])
def test_a_file_name_that_cannot_be_printed_is_unsafe(tmp_path, name):
    folder = place(tmp_path, a_model())
    (folder / os.fsdecode(name)).write_bytes(b"")

    assert refusal(tmp_path).reason == Reason.UNSAFE_PATH


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_a_special_file_is_unsafe_and_blocks_nothing(tmp_path, kind, monkeypatch):
    folder = place(tmp_path, a_model())
    monkeypatch.chdir(folder)
    if kind == "fifo":
        os.mkfifo("tokenizer.model")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("tokenizer.model")

    assert refusal(tmp_path).reason == Reason.UNSAFE_PATH


def test_a_folder_that_may_not_be_read_is_forbidden(tmp_path):
    folder = place(tmp_path, a_model())
    folder.chmod(0)
    with as_an_ordinary_user(tmp_path):
        error = refusal(tmp_path)
    folder.chmod(0o755)

    assert error.reason == Reason.SOURCE_FORBIDDEN


def test_a_file_that_the_volume_takes_in_part_is_an_error(tmp_path):
    place(tmp_path, a_model().put(tokenizer__json=b"x" * 1500))
    source, (soft, hard) = (
        DirectorySource(ClaimUri("claim", "m"), tmp_path),
        resource.getrlimit(resource.RLIMIT_FSIZE),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            source.fetch(SourceFile("tokenizer.json", 1500), tmp_path / "copy", Progress())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
def test_links_in_a_circle_are_unsafe(tmp_path, name):
    folder = place(tmp_path, a_model())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("other")
    (folder / "other").symlink_to(name)

    error = refusal(tmp_path)
    assert (error.reason, error.retryable) == (Reason.UNSAFE_PATH, False)


def test_a_link_that_becomes_a_circle_after_it_was_listed_is_unsafe(tmp_path):
    folder = place(tmp_path, a_model())
    source = DirectorySource(ClaimUri("claim", "m"), tmp_path)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")

    with pytest.raises(StoreError) as caught, source.folder.open("config.json"):
        pass
    assert caught.value.reason == Reason.UNSAFE_PATH
