"""Gates on the real engine: a version that passes takes over, one that does not never answers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from e2e.cluster.cluster import Cluster
from e2e.install import Installation
from e2e.lab.commands import rollout_wait, run
from e2e.lab.lab import Lab, condition, uids
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import traffic
from e2e.models import place, tiny_llama
from sluicegate.cli.command import Exit
from sluicegate.kube import resources

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "chat"
PROMPTS = ("tell me a story", "how far is the moon")
FILE = """
- {name: story, prompt: tell me a story}
- name: moon
  messages: [{role: user, content: how far is the moon}]
"""


def _spoilt(folder: Path, norm: float) -> Path:
    """tiny-b, with this number all over the norm before its last layer."""
    tiny_llama(folder, seed=2)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"] = np.full_like(tensors["model.norm.weight"], norm)
    save_file(tensors, file, metadata={"format": "pt"})
    file.chmod(0o644)
    return folder


async def _golden(lab: Lab) -> list[dict[str, Any]]:
    return list((await lab.get(resources.MODEL_VERSION, "tiny-b"))["spec"].get("goldenPrompts") or [])


async def test_a_version_is_held_to_what_it_was_recorded_to_say_and_takes_over(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    # given
    await lab.apply(a_model_version("tiny-a", "tiny-a"), a_model_version("tiny-b", "tiny-b"))
    await lab.apply(a_deployment(NAME, "tiny-b"))
    await lab.settled(NAME)
    pods = uids(await lab.pods(NAME))
    file = tmp_path / "prompts.yaml"
    file.write_text(FILE)
    # when
    record = ("kubectl", "sluice", "golden", "record", NAME, "-n", lab.namespace)
    ended = await run(cluster, *record, f"--prompts={file}", "--max-tokens=12")
    # then
    assert ended.code == Exit.OK, ended.log
    recorded = await _golden(lab)
    assert [(each["name"], len(each["tokens"])) for each in recorded] == [("story", 12), ("moon", 12)]
    assert recorded[0]["tokens"] != recorded[1]["tokens"], "answers differ by prompt"
    assert recorded[0]["recordedWith"].startswith("vllm 0.32.0 on cpu --dtype=float32")
    assert uids(await lab.pods(NAME)) == pods, "recording restarts nothing"
    # when another version serves for a while
    await lab.edit(NAME, modelVersion="tiny-a")
    await lab.settled(NAME)
    await lab.edit(NAME, modelVersion="tiny-b")
    ended = await rollout_wait(cluster, lab.namespace, NAME, 300)
    # then
    assert ended.code == Exit.OK, ended.log
    found = await lab.settled(NAME)
    history = {each["id"]: each for each in found["status"]["history"]}
    promoted = history[found["status"]["serving"]["rollout"]]
    assert promoted["message"].endswith("golden prompts held: story, moon")


@pytest.mark.parametrize(
    ("version", "norm", "reason", "words"),
    [
        ("forged", None, "GoldenPromptsFailed", ("golden prompt story", "log-probability -")),
        ("overflowing", 3e38, "EngineCrashLooping", ("WarmupFailed", "not JSON compliant")),
    ],
    ids=["other weights", "weights that compute no numbers"],
)
async def test_a_version_that_says_something_else_is_rolled_back_and_never_answers(
    version: str,
    norm: float | None,
    reason: str,
    words: tuple[str, ...],
    lab: Lab,
    cluster: Cluster,
    weights: Path,
) -> None:
    # given
    await lab.edit(NAME, modelVersion="tiny-b")
    before = await lab.settled(NAME)
    folder = "tiny-a"
    if norm is not None:
        folder = "tiny-overflowing"
        place(weights / folder, partial(_spoilt, norm=norm))
    await lab.apply(a_model_version(version, folder, goldenPrompts=await _golden(lab)))
    await lab.verified(version)
    async with traffic(await lab.url(NAME), PROMPTS, clients=2) as record:
        await record.grows(4)
        # when
        await lab.edit(NAME, modelVersion=version)
        ended = await rollout_wait(cluster, lab.namespace, NAME, 300)
        await record.grows(4)
    # then
    assert ended.code == Exit.FAILED, ended.log
    assert reason in ended.log
    found = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    last = found["status"]["history"][0]
    assert [last[key] for key in ("version", "outcome", "reason")] == [version, "RolledBack", reason]
    assert all(each in last["message"] for each in words), last["message"]
    assert found["status"]["serving"] == before["status"]["serving"]
    assert not record.failed, record.failed[:3]
    assert record.versions() == ["tiny-b"]


async def test_weights_that_are_no_numbers_are_found_before_any_pod_is_made(
    lab: Lab, cluster: Cluster, weights: Path
) -> None:
    # given
    place(weights / "tiny-nan", partial(_spoilt, norm=float("nan")))
    await lab.edit(NAME, modelVersion="tiny-b")
    before = await lab.settled(NAME)
    pods = uids(await lab.pods(NAME))
    # when
    await lab.apply(a_model_version("no-numbers", "tiny-nan"))
    await lab.edit(NAME, modelVersion="no-numbers")
    # then
    said = await lab.says("no-numbers", "NonFiniteWeights", resource=resources.MODEL_VERSION)
    assert "model.norm.weight" in said
    assert "NonFiniteWeights" in await lab.says(NAME, "ModelVersionNotReady")
    ended = await rollout_wait(cluster, lab.namespace, NAME, 300)
    assert ended.code == Exit.FAILED, ended.log
    found = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    assert found["status"]["serving"] == before["status"]["serving"]
    assert (condition(found, "Available") or {})["status"] == "True"
    assert uids(await lab.pods(NAME)) == pods


ASK = """
import json, os, urllib.request
question = {"model": os.environ["SLUICEGATE_MODEL"], "prompt": "tell me a story", "max_tokens": 4}
request = urllib.request.Request(os.environ["SLUICEGATE_URL"] + "/completions", json.dumps(question).encode())
request.add_header("Content-Type", "application/json")
with urllib.request.urlopen(request) as answer:
    version = answer.headers["x-sluicegate-model-version"]
assert version == os.environ["SLUICEGATE_VERSION"], version
assert version != os.environ["REFUSED"], f"{version} is refused"
"""


def _tried(image: str, refused: str) -> dict[str, Any]:
    """A rollout policy with a Job that asks the new pods, and refuses one version."""
    env = [{"name": "REFUSED", "value": refused}]
    job = {"image": image, "command": ["python3", "-c", ASK], "env": env, "timeoutSeconds": 120}
    return {"rollout": {"verification": {"job": job}}}


async def test_a_version_that_its_job_lets_pass_takes_over(
    lab: Lab, cluster: Cluster, operator: Installation
) -> None:
    # given
    await lab.edit(NAME, modelVersion="tiny-b")
    await lab.settled(NAME)
    # when
    await lab.edit(NAME, modelVersion="tiny-a", **_tried(operator.images.small, refused="nobody"))
    ended = await rollout_wait(cluster, lab.namespace, NAME, 300)
    # then
    assert ended.code == Exit.OK, ended.log
    found = await lab.settled(NAME)
    serving = found["status"]["serving"]
    assert serving["version"] == "tiny-a"
    (job,) = await lab.all(resources.JOB, **{"sluicegate.dev/deployment": NAME})
    assert job["metadata"]["name"] == f"{NAME}-{serving['rollout']}-job"
    assert condition(job, "Complete") is not None
    history = {each["id"]: each for each in found["status"]["history"]}
    assert "verification Job passed" in history[serving["rollout"]]["message"]
    for service in (NAME, f"{NAME}-preview"):
        slices = await lab.all(resources.ENDPOINT_SLICE, **{"kubernetes.io/service-name": service})
        behind = {each["targetRef"]["name"] for slice in slices for each in slice.get("endpoints") or ()}
        assert not any("-job-" in pod for pod in behind), "the Job's pod is behind no Service"


async def test_a_version_that_its_job_refuses_is_rolled_back_and_never_answers(
    lab: Lab, cluster: Cluster, operator: Installation
) -> None:
    # given
    before = await lab.settled(NAME)
    async with traffic(await lab.url(NAME), PROMPTS, clients=2) as record:
        await record.grows(4)
        # when
        await lab.edit(NAME, modelVersion="tiny-b", **_tried(operator.images.small, refused="tiny-b"))
        ended = await rollout_wait(cluster, lab.namespace, NAME, 300)
        await record.grows(4)
    # then
    assert ended.code == Exit.FAILED, ended.log
    found = await lab.get(resources.LLM_DEPLOYMENT, NAME)
    last = found["status"]["history"][0]
    assert [last[key] for key in ("version", "outcome", "reason")] == [
        "tiny-b",
        "RolledBack",
        "VerificationJobFailed",
    ]
    assert "ended with exit code 1: " in last["message"]
    assert last["message"].endswith("AssertionError: tiny-b is refused")
    assert found["status"]["serving"] == before["status"]["serving"]
    assert not record.failed, record.failed[:3]
    assert record.versions() == ["tiny-a"]
    await lab.until_gone(resources.JOB, f"{NAME}-{last['id']}-job")
