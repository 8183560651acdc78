"""Identity depends on the files and on nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_store.manifest import FileEntry, Manifest, is_plain_path

SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.text(min_size=1, max_size=20).filter(is_plain_path)
ENTRIES = st.lists(st.builds(FileEntry, NAMES, st.integers(0, 1 << 60), SHA), unique_by=lambda e: e.path)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_a_digest_does_not_depend_on_the_order_in_which_files_were_found(entries, random):
    shuffled = list(entries)
    random.shuffle(shuffled)

    assert Manifest.of(shuffled).digest == Manifest.of(entries).digest


@given(ENTRIES)
def test_parsing_the_canonical_text_gives_the_manifest_back(entries):
    manifest = Manifest.of(entries)

    assert Manifest.parse(manifest.canonical()) == manifest


@given(ENTRIES.filter(bool), st.data())
def test_any_change_of_any_file_changes_the_digest(entries, data):
    changed = list(entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    old = changed[at]
    changed[at] = data.draw(
        st.sampled_from(
            [
                FileEntry(old.path, old.size + 1, old.sha256),
                FileEntry(old.path, old.size, hashlib.sha256(old.sha256.encode()).hexdigest()),
                FileEntry(old.path + "x" * 21, old.size, old.sha256),
            ]
        )
    )

    assert Manifest.of(changed).digest != Manifest.of(entries).digest


def test_the_canonical_form_is_sorted_compact_utf8_json():
    manifest = Manifest.of([FileEntry("ü.json", 2, "b" * 64), FileEntry("a.json", 1, "a" * 64)])

    want = (
        '{"files":[{"path":"a.json","sha256":"' + "a" * 64 + '","size":1},'
        '{"path":"ü.json","sha256":"' + "b" * 64 + '","size":2}],"schema":"sluicegate.dev/manifest/v1"}'
    )
    assert manifest.canonical() == want.encode()
    assert manifest.digest == f"sha256:{hashlib.sha256(want.encode()).hexdigest()}"
    assert manifest.total_bytes == 3


@pytest.mark.parametrize("path", ["../x", "/x", "a/../b", "", ".", "a//b", "a\nb", "a/"])
def test_a_path_that_could_leave_the_folder_is_no_manifest(path):
    with pytest.raises(ValueError, match="plain relative"):
        Manifest.of([FileEntry(path, 1, "a" * 64)])


def test_a_path_named_twice_is_no_manifest():
    with pytest.raises(ValueError, match="once"):
        Manifest.of([FileEntry("x", 1, "a" * 64), FileEntry("x", 2, "b" * 64)])


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"extra": 1},
        lambda d: d | {"schema": "v2"},
        lambda d: d | {"files": [d["files"][0] | {"sha256": "Z" * 64}]},
        lambda d: d | {"files": [d["files"][0] | {"size": "1"}]},
        lambda d: d | {"files": [{"path": "x"}]},
        lambda d: d | {"files": 3},
    ],
)
def test_text_that_is_not_the_canonical_form_is_refused(change):
    document = json.loads(Manifest.of([FileEntry("x", 1, "a" * 64)]).canonical())

    with pytest.raises(ValueError, match="manifest"):
        Manifest.parse(json.dumps(change(document), sort_keys=True, separators=(",", ":")).encode())
