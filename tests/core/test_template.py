"""The pod template: what a spec becomes in it, and what the Pod Security level asks."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import ADeployment, a_model_version
from tests.core.cluster import Cluster

from sluicegate_engine.cli import parse
from sluicegate_engine.otlp import collector_from
from sluicegate_engine.tracer import Sampler, sampler_from


def a_pod_of(deployment: ADeployment, *models: Any) -> Any:
    """The spec of the pods that a deployment gets."""
    cluster = Cluster(deployment.build(), *(models or (a_model_version("v1"),)))
    cluster.settle()
    return cluster.of_kind("ReplicaSet")[0]["spec"]["template"]["spec"]


def test_pods_of_one_colour_spread_over_the_parts_that_the_spec_names() -> None:
    spread = {"topologySpreadConstraints": [{"topologyKey": "zone"}]}
    cluster = Cluster(ADeployment().with_spec(pod=spread).build(), a_model_version("v1"))
    cluster.settle()
    (replica_set,) = cluster.of_kind("ReplicaSet")
    assert replica_set["spec"]["template"]["spec"]["topologySpreadConstraints"] == [
        {
            "topologyKey": "zone",
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": replica_set["spec"]["selector"],
        }
    ]


@pytest.mark.parametrize(
    ("cpu", "tensor", "threads"),
    [
        ("4", 1, "4"),
        ("4", 2, "2"),
        ("500m", 1, "1"),
        ("2000m", 1, "2"),
        ("2001m", 1, "2"),
        ("4500m", 1, "4"),
        ("1", 4, "1"),
    ],
)
def test_a_cpu_engine_computes_with_the_processors_it_is_promised(
    cpu: str, tensor: int, threads: str
) -> None:
    engine = {"device": "CPU", "parallelism": {"tensor": tensor}}
    pod = a_pod_of(ADeployment().with_spec(engine=engine, resources={"cpu": cpu}))
    assert pod["containers"][0]["env"] == [{"name": "OMP_NUM_THREADS", "value": threads}]


@pytest.mark.parametrize(
    "deployment",
    [ADeployment(), ADeployment().with_spec(engine={}, resources={"cpu": "4"})],
    ids=["none promised", "an accelerator computes"],
)
def test_an_engine_otherwise_chooses_its_threads_itself(deployment: ADeployment) -> None:
    assert not a_pod_of(deployment)["containers"][0].get("env")


def test_accelerators_follow_from_the_parallelism() -> None:
    pod = a_pod_of(ADeployment().with_spec(engine={"parallelism": {"tensor": 2, "pipeline": 2}}))
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert pod["containers"][0]["image"] == "engine-cuda:1"


def test_accelerators_of_another_kind_are_asked_for_by_their_name() -> None:
    resources = {"accelerator": {"resource": "example.com/gpu", "count": 2}}
    pod = a_pod_of(ADeployment().with_spec(engine={"parallelism": {"tensor": 2}}, resources=resources))
    assert pod["containers"][0]["resources"]["limits"] == {"example.com/gpu": "2"}


def test_the_bounds_of_the_queue_are_what_the_runtime_is_told() -> None:
    def bounds(admission: dict[str, int]) -> tuple[int, int | None]:
        pod = a_pod_of(ADeployment().with_spec(admission=admission))
        told = parse(pod["containers"][0]["command"][1:])
        return told.max_queued, told.max_queued_prompt_tokens

    assert bounds({}) == (256, None)
    assert bounds({"maxQueuedRequests": 7, "maxQueuedPromptTokens": 9000}) == (7, 9000)


def test_a_collector_is_told_to_the_engine_in_the_usual_variables() -> None:
    tracing = {"endpoint": "http://collector:4318", "samplingRatePerMillion": 2500}
    pod = a_pod_of(ADeployment().with_spec(observability={"tracing": tracing}))
    told = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    collector = collector_from(told)
    assert collector is not None
    assert collector.url == "http://collector:4318/v1/traces"
    assert collector.resource["service.name"] == "chat"
    assert collector.resource["k8s.namespace.name"] == "models"
    assert sampler_from(told) == Sampler(0.0025, by_parent=True)


def test_requests_are_logged_unless_that_is_disabled() -> None:
    def logs(observability: dict[str, str]) -> bool:
        pod = a_pod_of(ADeployment().with_spec(observability=observability))
        return parse(pod["containers"][0]["command"][1:]).request_log

    assert logs({})
    assert not logs({"requestLog": "Disabled"})


def test_memory_is_promised_and_limited_alike() -> None:
    pod = a_pod_of(ADeployment().with_spec(resources={"cpu": "2", "memory": "4Gi"}))
    resources = pod["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}


def test_what_is_for_the_pods_reaches_them_as_it_is() -> None:
    given = {
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "imagePullSecrets": ["registry"],
        "serviceAccountName": "runner",
        "priorityClassName": "high",
    }
    pod = a_pod_of(ADeployment().with_spec(pod=given))
    assert pod["nodeSelector"] == {"gpu": "h100"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("runner", "high")
    assert pod["automountServiceAccountToken"] is True
    assert a_pod_of(ADeployment())["automountServiceAccountToken"] is False


def test_every_container_is_restricted() -> None:
    pod = a_pod_of(ADeployment())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["initContainers"], *pod["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_kubelet_waits_for_the_whole_of_an_ordered_end() -> None:
    pod = a_pod_of(ADeployment().with_spec(rollout={"drainSeconds": 100}))
    end = parse(pod["containers"][0]["command"][1:])
    killing_and_reaping = 5
    assert end.drain_seconds == 100
    assert (
        pod["terminationGracePeriodSeconds"]
        >= end.linger_seconds + end.drain_seconds + end.stop_seconds + killing_and_reaping
    )


def test_the_source_is_mounted_for_the_store_alone_and_read_only() -> None:
    pod = a_pod_of(ADeployment())
    store, engine = pod["initContainers"][0], pod["containers"][0]
    source = {"name": "source-0", "mountPath": "/sources/weights", "readOnly": True}
    assert source in store["volumeMounts"]
    assert source not in engine["volumeMounts"]
    assert {"name": "control", "mountPath": "/etc/sluicegate/control", "readOnly": True} not in store[
        "volumeMounts"
    ]
    assert next(mount for mount in engine["volumeMounts"] if mount["name"] == "models")["readOnly"] is True


def test_each_source_of_a_hub_has_a_token_of_its_own() -> None:
    speculative = {"method": "DraftModel", "draftModelVersion": "draft", "tokens": 3}
    models = [a_model_version(name, uri=f"hf://org/{name}@{'a' * 40}") for name in ("v1", "draft")]
    for model, secret in zip(models, ("main", "other"), strict=True):
        model["spec"]["source"] |= {"secretName": secret, "endpoint": f"https://{secret}.example"}
    pod = a_pod_of(ADeployment().with_engine(speculative=speculative), *models)
    secrets = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["name"]
        for each in pod["initContainers"][0]["env"]
        if "valueFrom" in each
    }
    assert secrets == {"HF_TOKEN": "main", "HF_TOKEN_DRAFT": "other"}


def test_a_token_of_the_draft_alone_is_not_the_models() -> None:
    speculative = {"method": "DraftModel", "draftModelVersion": "draft", "tokens": 3}
    draft = a_model_version("draft", uri=f"hf://org/draft@{'a' * 40}")
    draft["spec"]["source"]["secretName"] = "other"
    pod = a_pod_of(ADeployment().with_engine(speculative=speculative), a_model_version("v1"), draft)
    assert [each["name"] for each in pod["initContainers"][0]["env"]] == ["HOME", "HF_TOKEN_DRAFT"]


def test_no_environment_of_other_services_reaches_the_engine() -> None:
    assert a_pod_of(ADeployment("vllm"))["enableServiceLinks"] is False
