"""Bad input is told apart, in words that help; nothing else is disturbed, and a correction is enough."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.cluster.cluster import Cluster, ClusterError
from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version
from e2e.models import tiny_llama
from sluicegate.kube import resources
from sluicegate.kube.errors import ApiError

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _add_weights(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "stray.safetensors")


def _poison(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4:] = b"\x00\x00\xc0\x7f"
    weights.write_bytes(content)


def _break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{ not json")


def _link_out(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/etc/passwd")


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


CHECKPOINTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncate, "CheckpointCorrupt"),
    "missing": (_remove_weights, "CheckpointIncomplete"),
    "extra-file": (_add_weights, "CheckpointIncomplete"),
    "nan": (_poison, "NonFiniteWeights"),
    "config": (_break_config, "ConfigInvalid"),
    "symlink": (_link_out, "UnsafePath"),
    "pickle": (_pickle, "UnsafeFormat"),
}


@pytest.mark.parametrize(("harm", "reason"), CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
async def test_a_bad_checkpoint_is_refused_with_its_reason(
    lab: Lab, weights: Path, harm: Callable[[Path], None], reason: str
) -> None:
    name = f"bad-{list(CHECKPOINTS.values()).index((harm, reason))}"
    folder = weights / name
    shutil.rmtree(folder, ignore_errors=True)
    tiny_llama(folder, seed=7)
    harm(folder)
    await lab.apply(a_model_version(name, name))
    message = await lab.says(name, reason, within=60, resource=resources.MODEL_VERSION)
    assert message, "the message says what to do"


async def test_a_checkpoint_that_was_mended_is_inspected_again_and_serves(lab: Lab, weights: Path) -> None:
    # given one that is truncated
    folder = weights / "mended"
    shutil.rmtree(folder, ignore_errors=True)
    tiny_llama(folder, seed=8)
    _truncate(folder)
    await lab.apply(a_model_version("mended", "mended"))
    await lab.says("mended", "CheckpointCorrupt", resource=resources.MODEL_VERSION)
    # when its file is mended
    shutil.rmtree(folder)
    tiny_llama(folder, seed=8)
    # then
    await lab.verified("mended", within=60)


async def test_a_wrong_digest_is_refused_and_both_are_named(lab: Lab) -> None:
    wrong = "sha256:" + "0" * 64
    await lab.apply(a_model_version("wrong", "tiny-a", digest=wrong))
    message = await lab.says("wrong", "DigestMismatch", resource=resources.MODEL_VERSION)
    assert wrong in message


async def test_a_claim_that_does_not_exist_is_named(lab: Lab) -> None:
    await lab.apply(a_model_version("lost", "", source={"uri": "pvc://nowhere/model"}))
    message = await lab.says("lost", "Unschedulable", resource=resources.MODEL_VERSION)
    assert "nowhere" in message


async def test_a_missing_model_version_is_named_and_its_creation_is_enough(lab: Lab) -> None:
    await lab.apply(a_deployment("early", "late", replicas=0))
    assert "late" in await lab.says("early", "ModelVersionNotFound")
    await lab.apply(a_model_version("late", "tiny-a"))
    await lab.ready("early", within=60)


BAD_ENGINES = {
    "fp8 on cpu": ({"quantization": "FP8"}, "EngineRefused", "FP8"),
    "a quantization that the checkpoint has not": ({"quantization": "AWQ"}, "EngineRefused", "AWQ"),
    "an argument that a typed field says": ({"extraArgs": ["--max-model-len=9"]}, "EngineRefused", "max"),
    "kv offload on cpu": ({"kvCache": {"offloadMiB": 64}}, "EngineRefused", "offload"),
}


@pytest.mark.parametrize(("engine", "reason", "word"), BAD_ENGINES.values(), ids=BAD_ENGINES.keys())
async def test_an_engine_that_could_not_start_is_refused_before_any_pod(
    lab: Lab, engine: dict[str, object], reason: str, word: str
) -> None:
    await lab.apply(a_model_version("tiny-a", "tiny-a"))
    await lab.verified("tiny-a")
    await lab.apply(a_deployment("refused", "tiny-a", engine=engine))
    assert word.lower() in (await lab.says("refused", reason)).lower()
    assert not await lab.pods("refused")
    await lab.delete(resources.LLM_DEPLOYMENT, "refused")
    await lab.until_gone(resources.LLM_DEPLOYMENT, "refused")


async def test_more_accelerators_than_any_node_has_are_refused_with_numbers(lab: Lab) -> None:
    await lab.apply(a_deployment("huge", "tiny-a", resources={"accelerator": {"count": 16}}))
    message = await lab.says("huge", "InsufficientAccelerators")
    assert "16" in message
    assert "8" in message


async def test_more_accelerators_than_are_free_wait_in_the_scheduler_s_words_until_some_are(lab: Lab) -> None:
    # given one that holds nearly all; its image does not matter for that
    def holding(name: str) -> dict[str, object]:
        return a_deployment(
            name, "tiny-a", engine={"image": "none:1"}, resources={"accelerator": {"count": 7}}
        )

    await lab.apply(holding("first"))
    await lab.says("first", "ImagePullFailed")
    # when another wants as many
    await lab.apply(holding("second"))
    # then it waits, and says so as the scheduler does
    assert "Insufficient nvidia.com/gpu" in await lab.says("second", "Unschedulable")
    # and deleting the first frees them
    await lab.delete(resources.LLM_DEPLOYMENT, "first")
    await lab.says("second", "ImagePullFailed")
    await lab.delete(resources.LLM_DEPLOYMENT, "second")
    await lab.until_no_pods("second")


async def test_an_image_that_cannot_be_pulled_is_named_and_a_correction_is_enough(lab: Lab) -> None:
    await lab.apply(a_deployment("pulled", "tiny-a", engine={"image": "localhost:5000/missing:1"}))
    assert "missing" in await lab.says("pulled", "ImagePullFailed", within=90)
    await lab.edit("pulled", engine={"image": None}, replicas=0)
    await lab.ready("pulled", within=60)


async def test_an_engine_that_crashes_says_its_last_words_and_a_correction_is_enough(lab: Lab) -> None:
    bad = {"extraArgs": ["--seed=not-a-number"]}
    await lab.apply(a_deployment("crashing", "tiny-a", engine=bad))
    message = await lab.says("crashing", "EngineCrashLooping", within=300)
    assert "not-a-number" in message, message
    await lab.edit("crashing", engine={"extraArgs": None})
    await lab.ready("crashing")
    await lab.delete(resources.LLM_DEPLOYMENT, "crashing")


async def test_unknown_fields_are_refused_where_kubectl_validates_strictly(
    lab: Lab, cluster: Cluster
) -> None:
    import json

    manifest = a_deployment("typo", "tiny-a", replica=2)
    manifest["metadata"]["namespace"] = lab.namespace
    with pytest.raises(ClusterError, match=r'unknown field "spec\.replica"'):
        cluster.kubectl("apply", "--validate=strict", "--filename=-", given=json.dumps(manifest))


ILLEGAL = ("7b-chat", "llama3.1", "chat-preview", "x" * 51, "chat-0123abcd")


@pytest.mark.parametrize("name", ILLEGAL)
async def test_an_illegal_name_is_refused_by_the_api_server_with_a_clear_message(lab: Lab, name: str) -> None:
    with pytest.raises(ApiError, match=r"metadata\.name") as refused:
        await lab.apply(a_deployment(name, "tiny-a"))
    assert refused.value.code == 422
