"""PID 1 collects its own children and the orphans."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.engine.pod import ROOT


def test_orphans_are_collected_and_children_tell_how_they_ended() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT}"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.engine.orphanage"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stderr
