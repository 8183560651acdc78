"""What people see of a rollout is recorded."""

from __future__ import annotations

from tests.golden.table import FILE, recorded


def test_each_step_of_a_rollout_shows_what_is_recorded() -> None:
    """A difference means other words for people: `python -m tests.golden.write` records them."""
    assert recorded() == FILE.read_text()
