"""What is remembered of an engine's death."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path

import pytest
from tests.engine.clock import Watch

from sluicegate_engine.inquest import Inquest, Record, read_record, write_record
from sluicegate_engine.quarantine import Suspect
from sluicegate_engine.roster import Roster

REQUEST, OTHER = "1" * 32, "2" * 32
RECORD = Record("ab" * 32, {REQUEST: Suspect(2, 1.5), OTHER: Suspect(1, 0)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quarantine.json"


def inquest_of(path: Path, watch: Watch) -> tuple[Inquest, Roster]:
    """And the roster of the gate, which maps the same memory."""
    inquest = Inquest(path, 2, lambda: watch() / 1e9)
    return inquest, Roster(mmap.mmap(inquest.descriptor, os.fstat(inquest.descriptor).st_size))


def test_the_record_is_read_as_it_was_written_and_is_for_nobody_else(path: Path) -> None:
    write_record(path, RECORD)
    assert read_record(path) == RECORD
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"key": "x", "suspects": {}}', '{"key": "ab", "suspects": {"1": 2}}', '{"suspects": {}}'],
)
def test_a_record_that_cannot_be_understood_is_begun_anew(
    path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(text)
    record = read_record(path)
    assert (len(record.key), record.suspects) == (64, {})
    assert "begun anew" in caplog.text


def test_where_there_is_none_the_key_is_a_new_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_record(path).key != read_record(path).key
    assert not caplog.records


def test_who_was_there_is_remembered_under_the_same_key(path: Path, watch: Watch) -> None:
    inquest, roster = inquest_of(path, watch)
    roster.enter(REQUEST)
    assert inquest.hold(blame=True) == "; 1 requests were with it and are suspects"
    assert read_record(path) == Record(inquest.record.key, {REQUEST: Suspect(1)})
    again, roster = inquest_of(path, watch)
    roster.enter(REQUEST)
    roster.enter(OTHER)
    said = again.hold(blame=True)
    assert said == "; 2 requests were with it and are suspects, 1 of them are quarantined"
    assert read_record(path).suspects == {REQUEST: Suspect(2), OTHER: Suspect(1)}


def test_a_death_that_is_no_requests_fault_only_remembers_answers_and_time(path: Path, watch: Watch) -> None:
    write_record(path, RECORD)
    inquest, roster = inquest_of(path, watch)
    inquest.begin()
    watch.at = 3_000
    roster.enter("3" * 32)
    roster.clear(OTHER)
    assert inquest.hold(blame=False) == ""
    assert read_record(path).suspects == {REQUEST: Suspect(2, 4.5)}


def test_where_nothing_happened_nothing_is_written(path: Path, watch: Watch) -> None:
    inquest, _ = inquest_of(path, watch)
    assert inquest.hold(blame=True) == ""
    assert not path.exists()


def test_a_record_that_cannot_be_written_keeps_nobody_up(
    tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    inquest, roster = inquest_of(tmp_path / "absent" / "record", watch)
    roster.enter(REQUEST)
    assert inquest.hold(blame=True)
    assert "cannot be remembered" in caplog.text


def test_the_log_tells_who_is_quarantined_by_a_part_of_the_fingerprint(
    path: Path, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    write_record(path, Record(RECORD.key, {REQUEST: Suspect(1)}))
    inquest, roster = inquest_of(path, watch)
    roster.enter(REQUEST)
    roster.enter(OTHER)
    inquest.hold(blame=True)
    assert caplog.messages == ["quarantined, for the engine died with them again and again: 11111111"]
    assert json.loads(path.read_text())["key"] == RECORD.key
