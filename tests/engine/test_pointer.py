"""The pointer file and the snapshot it leads to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluicegate_engine.fatal import FatalError
from sluicegate_engine.pointer import Pointer, Source, Target, read_pointer, snapshot_directory

DIGEST = "sha256:" + "a" * 64
SOURCE = {"uri": "pvc://claim/path"}


def write(path: Path, data: object) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_pointer_names_the_model_and_its_draft(tmp_path: Path) -> None:
    hub = {"uri": "hf://org/small@1", "endpoint": "http://hub"}
    draft = {"version": "small", "digest": "sha256:" + "b" * 64, "source": hub}
    path = write(tmp_path / "p", {"version": "v1", "digest": DIGEST, "source": SOURCE, "draft": draft})
    assert read_pointer(path) == Pointer(
        Target("v1", DIGEST, Source("pvc://claim/path")),
        Target("small", "sha256:" + "b" * 64, Source("hf://org/small@1", "http://hub")),
    )


def test_a_pointer_tells_its_sequence_once_it_has_one(tmp_path: Path) -> None:
    before = write(tmp_path / "before", {"version": "v1", "digest": DIGEST})
    after = write(tmp_path / "after", {"version": "v1", "digest": DIGEST, "sequence": 7})
    assert (read_pointer(before).sequence, read_pointer(after).sequence) == (0, 7)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "JSON"),
        ([], "not a JSON object"),
        ({"digest": DIGEST}, "version"),
        ({"version": "v1\r\nx: y", "digest": DIGEST}, "version"),
        ({"version": "v1"}, "digest"),
        ({"version": "v1", "digest": "sha256:../../etc"}, "digest"),
        ({"version": "v1", "digest": DIGEST, "draft": 1}, "version"),
        ({"version": "v1", "digest": DIGEST, "source": "pvc://claim"}, "source"),
        ({"version": "v1", "digest": DIGEST, "source": {"uri": "pvc://claim", "endpoint": 1}}, "source"),
        ({"version": "v1", "digest": DIGEST, "sequence": -1}, "sequence"),
        ({"version": "v1", "digest": DIGEST, "sequence": True}, "sequence"),
    ],
)
def test_a_bad_pointer_is_refused_with_what_is_wrong(tmp_path: Path, data: object, said: str) -> None:
    path = write(tmp_path / "pointer.json", data)
    with pytest.raises(FatalError, match=said) as caught:
        read_pointer(path)
    assert caught.value.reason == "PointerInvalid"
    assert str(path) in caught.value.message


def test_an_absent_pointer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="does not exist"):
        read_pointer(tmp_path / "pointer.json")


def test_a_snapshot_is_found_by_its_digest_or_reported_missing(tmp_path: Path) -> None:
    target = Target("v1", DIGEST)
    with pytest.raises(FatalError, match="v1") as caught:
        snapshot_directory(tmp_path, target)
    assert caught.value.reason == "SnapshotMissing"
    (tmp_path / "snapshots" / ("a" * 64)).mkdir(parents=True)
    assert snapshot_directory(tmp_path, target) == tmp_path / "snapshots" / ("a" * 64)
