"""What the guides promise of the commands is what these do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sluicegate.cli.command import Exit
from sluicegate.cli.outcome import Outcome
from sluicegate.cli.rollout import DEFAULT_TIMEOUT

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PIPELINES = (GUIDES / "ci.md").read_text()


def test_the_exit_codes_are_those_of_the_command() -> None:
    told = re.findall(r"^\| (\d+) \| `(\w+)`", PIPELINES, re.MULTILINE)

    assert told == [(str(int(outcome.exit)), str(outcome)) for outcome in Outcome]
    assert f"| {Exit.INTERRUPTED:d} |" in PIPELINES


def test_the_script_waits_as_long_as_the_command_does_by_default() -> None:
    assert f"${{ROLLOUT_TIMEOUT:-{DEFAULT_TIMEOUT}}}" in (GUIDES / "promote.sh").read_text()


@pytest.mark.parametrize("arguments", [(), ("model-version.yaml", "chat")], ids=["none", "too few"])
def test_the_script_ends_with_the_code_of_wrong_usage(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(GUIDES / "promote.sh"), *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == Exit.USAGE_OR_PERMISSION
    assert "usage:" in done.stderr
