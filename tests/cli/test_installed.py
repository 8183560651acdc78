"""What an installation brings along, and what it must not hide."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sluicegate.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", ["sluicegate", "kubectl-sluice"])
def test_the_command_is_installed_and_as_a_plugin_of_kubectl_too(command: str) -> None:
    (found,) = entry_points(group="console_scripts", name=command)

    assert found.load() is main


def test_the_operator_of_the_standard_library_is_not_hidden() -> None:
    """Started as the tests are: in the checkout, with its folders on the path."""
    pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    path = os.pathsep.join(str(ROOT / folder) for folder in pytest_options["pythonpath"])
    code = "import operator, sluicegate; print(operator.add(1, 2), operator.__file__)"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answer, _, file = done.stdout.strip().partition(" ")
    assert answer == "3"
    assert ROOT not in Path(file).parents
