"""A pipeline promotes a version with the guide's script; the exit codes that it sees tell the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.cluster.cluster import Cluster
from e2e.lab.commands import rollout_wait, run
from e2e.lab.lab import Lab, is_ready
from e2e.lab.objects import a_deployment, a_model_version
from sluicegate.cli.command import Exit
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMOTE = Path(__file__).parents[1] / "docs" / "guides" / "promote.sh"
NAME = "chat"


async def test_a_pipeline_promotes_a_version_and_goes_on_once_it_serves(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    # given
    await lab.apply(a_model_version("tiny-a", "tiny-a"), a_deployment(NAME, "tiny-a"))
    await lab.settled(NAME)
    file = tmp_path / "model-version.json"
    file.write_text(json.dumps(a_model_version("tiny-b", "tiny-b")))
    # when
    ended = await run(cluster, str(PROMOTE), str(file), NAME, lab.namespace)
    # then
    found = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    assert ended.code == Exit.OK, ended.log
    assert is_ready(found)
    assert found["status"]["serving"]["version"] == "tiny-b"
    assert "Promoted" in ended.log.splitlines()[-1]


async def test_a_pipeline_is_told_of_a_change_that_fails_while_the_old_pods_serve_on(
    lab: Lab, cluster: Cluster
) -> None:
    # given
    before = await lab.settled(NAME)
    # when
    await lab.edit(NAME, engine={"image": "localhost:5000/missing:1"})
    ended = await rollout_wait(cluster, lab.namespace, NAME, 240)
    # then
    found = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    assert ended.code == Exit.FAILED, ended.log
    assert "ImagePullFailed" in ended.log
    assert found["status"]["serving"] == before["status"]["serving"]
    # when it is taken back
    await lab.edit(NAME, engine={"image": None})
    ended = await rollout_wait(cluster, lab.namespace, NAME, 240)
    # then
    assert ended.code == Exit.OK, ended.log
