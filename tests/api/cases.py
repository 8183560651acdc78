"""Good and bad objects: the API server and the models must judge each alike, and for the same reason."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.builders import a_golden_prompt

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LONGEST_NAME = "m" * 50
Change = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An object, and a part of the message that refuses it; None where it is legal."""

    obj: dict[str, Any]
    refused: str | None = None


def a_deployment(name: str = "chat", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sluicegate.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"modelVersion": "smollm2-1", **spec},
    }


def a_model_version(
    name: str = "smollm2-1", uri: str = "pvc://models/smollm2", source: Change | None = None, **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "sluicegate.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"source": {"uri": uri, **(source or {})}, **spec},
    }


def an_engine(**engine: Any) -> dict[str, Any]:
    return a_deployment(engine=engine)


def a_pod(**pod: Any) -> dict[str, Any]:
    return a_deployment(pod=pod)


def a_gate(**gate: Any) -> dict[str, Any]:
    return a_deployment(rollout={"verification": {"goldenPrompts": gate}})


def a_job(**job: Any) -> dict[str, Any]:
    return a_deployment(rollout={"verification": {"job": {"image": "tests:1", **job}}})


def a_webhook(url: str, **webhook: Any) -> dict[str, Any]:
    return a_deployment(rollout={"verification": {"webhook": {"url": url, **webhook}}})


def without(obj: dict[str, Any], *path: str) -> dict[str, Any]:
    obj = deepcopy(obj)
    inner = obj
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return obj


NAMES = {
    "a plain name": Case(a_deployment("chat")),
    "a name that vLLM's own environment could clash with": Case(a_deployment("vllm")),
    "one letter": Case(a_deployment("a")),
    "the longest name": Case(a_deployment(LONGEST_NAME)),
    "one character too many": Case(a_deployment(LONGEST_NAME + "m"), "at most 50 characters"),
    "a digit first": Case(a_deployment("7b-chat"), "legal Service name"),
    "a dot": Case(a_deployment("llama3.1"), "legal Service name"),
    "the preview Service's name": Case(a_deployment("x-preview"), "name of a child"),
    "a control Secret's name": Case(a_deployment("x-control"), "name of a child"),
    "a pointer's name": Case(a_deployment("x-model"), "name of a child"),
    "a colour's name": Case(a_deployment("x-0a1b2c3d"), "8 hexadecimal digits"),
    "almost a colour's name": Case(a_deployment("x-0a1b2c3g")),
    "a version of a day": Case(a_model_version("llama-20261125")),
    "a version of a commit": Case(a_model_version("chat-1a2b3c4d")),
    "a version called like a deployment's child": Case(a_model_version("chat-preview")),
    "a version called like an inspection": Case(a_model_version("chat-inspect")),
    "a deployment called like an inspection": Case(a_deployment("chat-inspect")),
    "a deployment that names a version of a day": Case(a_deployment(modelVersion="llama-20261125")),
    "a version with too long a name": Case(a_model_version(LONGEST_NAME + "m"), "at most 50 characters"),
    "a version with a digit first": Case(a_model_version("7b-chat"), "legal Service name"),
    "a version with a dot": Case(a_model_version("llama3.1"), "legal Service name"),
    "the longest name of a version": Case(a_model_version(LONGEST_NAME)),
}

SOURCES = {
    "a folder of a claim": Case(a_model_version(uri="pvc://models/org/smollm2-135m")),
    "a whole claim": Case(a_model_version(uri="pvc://models")),
    "a path that leaves the claim": Case(a_model_version(uri="pvc://models/../other"), "uri must read"),
    "an absolute path": Case(a_model_version(uri="pvc://models//etc"), "uri must read"),
    "a hub repository at a commit": Case(a_model_version(uri=f"hf://org/name@{COMMIT}")),
    "a hub repository at a branch": Case(a_model_version(uri="hf://org/name@main"), "uri must read"),
    "a hub repository without a commit": Case(a_model_version(uri="hf://org/name"), "uri must read"),
    "a short commit": Case(a_model_version(uri=f"hf://org/name@{COMMIT[:7]}"), "uri must read"),
    "a scheme that nothing reads": Case(a_model_version(uri="s3://bucket/x"), "uri must read"),
    "an address with a line break": Case(a_model_version(uri="pvc://models/x\n"), "uri must read"),
    "no uri": Case(without(a_model_version(), "spec", "source", "uri"), "uri"),
    "no source": Case(without(a_model_version(), "spec", "source"), "source"),
    "no spec of a version": Case(without(a_model_version(), "spec"), "spec"),
    "a mirror of the hub": Case(
        a_model_version(uri=f"hf://org/name@{COMMIT}", source={"endpoint": "https://hub.example"})
    ),
    "a mirror that is no address": Case(
        a_model_version(uri=f"hf://org/name@{COMMIT}", source={"endpoint": "hub.example"}), "endpoint"
    ),
    "a mirror for a claim": Case(
        a_model_version(source={"endpoint": "https://hub.example"}), "only for hf://"
    ),
    "a token for the hub": Case(
        a_model_version(uri=f"hf://org/name@{COMMIT}", source={"secretName": "hub-token"})
    ),
    "a token for a claim": Case(a_model_version(source={"secretName": "hub-token"}), "only for hf://"),
    "a digest": Case(a_model_version(digest="sha256:" + "ab" * 32)),
    "a short digest": Case(a_model_version(digest="sha256:abcd"), "digest"),
    "a digest in capitals": Case(a_model_version(digest="sha256:" + "AB" * 32), "digest"),
}

ENGINES = {
    "nothing but a version": Case(a_deployment()),
    "no version": Case(without(a_deployment(), "spec", "modelVersion"), "modelVersion"),
    "no spec of a deployment": Case(without(a_deployment(), "spec"), "spec"),
    "an illegal version": Case(a_deployment(modelVersion="Llama"), "modelVersion"),
    "an empty engine": Case(an_engine()),
    "a CPU engine in fp32": Case(an_engine(device="CPU", dtype="Float32", kvCache={"memoryMiB": 512})),
    "an unknown device": Case(an_engine(device="TPU"), "device"),
    "an unknown dtype": Case(an_engine(dtype="float32"), "dtype"),
    "an unknown quantization": Case(an_engine(quantization="Q4_K_M"), "quantization"),
    "a context of nothing": Case(an_engine(maxModelLength=0), "maxModelLength"),
    "a length that is a string": Case(an_engine(maxModelLength="4096"), "maxModelLength"),
    "a fraction of a sequence": Case(an_engine(maxConcurrentSequences=1.5), "maxConcurrentSequences"),
    "no memory for keys and values": Case(an_engine(kvCache={"memoryMiB": 0}), "memoryMiB"),
    "ngram speculation": Case(an_engine(speculative={"method": "Ngram", "tokens": 4})),
    "draft-model speculation": Case(
        an_engine(speculative={"method": "DraftModel", "draftModelVersion": "smollm2-draft"})
    ),
    "a draft model without its version": Case(
        an_engine(speculative={"method": "DraftModel"}), "draftModelVersion is required"
    ),
    "a draft model that ngram does not use": Case(
        an_engine(speculative={"method": "Ngram", "draftModelVersion": "smollm2-draft"}),
        "not allowed with any",
    ),
    "speculation without a method": Case(an_engine(speculative={"tokens": 2}), "method"),
    "no guessed tokens": Case(an_engine(speculative={"method": "Ngram", "tokens": 0}), "tokens"),
    "two accelerators": Case(
        a_deployment(engine={"parallelism": {"tensor": 2}}, resources={"accelerator": {"count": 2}})
    ),
    "more parts than accelerators": Case(
        a_deployment(engine={"parallelism": {"tensor": 2}}, resources={"accelerator": {}}),
        "accelerator.count must equal",
    ),
    "more accelerators than parts": Case(
        a_deployment(resources={"accelerator": {"count": 8}}), "accelerator.count must equal"
    ),
    "accelerators by their number of parts": Case(an_engine(parallelism={"tensor": 4, "pipeline": 2})),
    "a replica over several nodes": Case(
        an_engine(parallelism={"tensor": 16, "pipeline": 2}), "a replica runs on one node"
    ),
    "tensor parallelism on CPU": Case(an_engine(device="CPU", parallelism={"tensor": 2})),
    "pipeline parallelism on CPU": Case(
        an_engine(device="CPU", parallelism={"pipeline": 2}), "no pipeline parallelism"
    ),
    "further arguments": Case(an_engine(extraArgs=["--enforce-eager", "--seed=7"])),
    "an argument without dashes": Case(an_engine(extraArgs=["enforce-eager"]), "--flag"),
    "a short argument": Case(an_engine(extraArgs=["-O3"]), "--flag"),
    "an argument with its value apart": Case(an_engine(extraArgs=["--seed 7"]), "--flag"),
    "an argument with a line break": Case(an_engine(extraArgs=["--seed=7\n--model=x"]), "--flag"),
    "an argument that ends in a line break": Case(an_engine(extraArgs=["--enforce-eager\n"]), "--flag"),
    "an argument with a letter beyond ASCII": Case(an_engine(extraArgs=["--name=ä"]), "--flag"),
    "an image": Case(an_engine(image="registry.test:5000/team/engine:2@sha256:" + "ab" * 32)),
    "an image that ends in a space": Case(an_engine(image="registry.test/engine:2 "), "image"),
    "too many arguments": Case(an_engine(extraArgs=[f"--a{i}" for i in range(33)]), "extraArgs"),
}

PODS = {
    "replicas to zero": Case(a_deployment(replicas=0)),
    "a negative number of replicas": Case(a_deployment(replicas=-1), "replicas"),
    "too many replicas": Case(a_deployment(replicas=1001), "replicas"),
    "a model name of a hub": Case(a_deployment(servedModelName="org/Name-1.5:latest")),
    "a model name with a space": Case(a_deployment(servedModelName="my model"), "servedModelName"),
    "processors and memory": Case(a_deployment(resources={"cpu": "500m", "memory": "16Gi"})),
    "processors as a number": Case(a_deployment(resources={"cpu": 4, "memory": 17_179_869_184})),
    "one and a half processors": Case(a_deployment(resources={"cpu": "1.5", "memory": "1.5Gi"})),
    "a thousandth of a processor": Case(a_deployment(resources={"cpu": "0.001"})),
    "the most processors that can be written": Case(a_deployment(resources={"cpu": 99_999_999})),
    "more processors than that": Case(a_deployment(resources={"cpu": 100_000_000}), "cpu"),
    "no processors as a number": Case(a_deployment(resources={"cpu": 0}), "cpu"),
    "fewer than no processors": Case(a_deployment(resources={"cpu": -1}), "cpu"),
    "no processors as a decimal": Case(a_deployment(resources={"cpu": "0.000"}), "cpu"),
    "less than a thousandth of a processor": Case(a_deployment(resources={"cpu": "0.0001"}), "cpu"),
    "half a thousandth of a processor": Case(a_deployment(resources={"cpu": "1.5m"}), "cpu"),
    "processors as a fraction": Case(a_deployment(resources={"cpu": 1.5}), "cpu"),
    "processors as a truth": Case(a_deployment(resources={"cpu": True}), "cpu"),
    "half a byte": Case(a_deployment(resources={"memory": "0.5"}), "memory"),
    "no memory": Case(a_deployment(resources={"memory": 0}), "memory"),
    "memory in words": Case(a_deployment(resources={"memory": "lots"}), "memory"),
    "no processors": Case(a_deployment(resources={"cpu": "0"}), "cpu"),
    "an accelerator without a domain": Case(
        a_deployment(resources={"accelerator": {"resource": "gpu"}}), "resource"
    ),
    "an accelerator of a domain with an empty part": Case(
        a_deployment(resources={"accelerator": {"resource": "a..b/npu"}}), "resource"
    ),
    "an accelerator with too long a name": Case(
        a_deployment(resources={"accelerator": {"resource": "a/" + "x" * 64}}), "resource"
    ),
    "an accelerator of Kubernetes' own": Case(
        a_deployment(resources={"accelerator": {"resource": "kubernetes.io/npu"}}), "device plugin"
    ),
    "an accelerator that reads like a quota": Case(
        a_deployment(resources={"accelerator": {"resource": "requests.nvidia.com/gpu"}}), "device plugin"
    ),
    "labels": Case(a_pod(labels={"team": "search", "example.org/tier": "gold"})),
    "a label of the operator": Case(a_pod(labels={"sluicegate.dev/deployment": "x"}), "set by the operator"),
    "a label that selects pods": Case(a_pod(labels={"app.kubernetes.io/name": "x"}), "set by the operator"),
    "a label that is too long": Case(a_pod(labels={"team": "x" * 64}), "labels"),
    "a label's key that is too long": Case(a_pod(labels={"x" * 254: "x"}), "253"),
    "a label's domain that is too long": Case(a_pod(labels={"a." * 127 + "a/x": "x"}), "253"),
    "a label's key with a space": Case(a_pod(labels={"my team": "x"}), "labels"),
    "an annotation's key that is a sentence": Case(a_pod(annotations={"What? No!": "x"}), "annotations"),
    "a node selector with two slashes": Case(a_pod(nodeSelector={"a/b/c": "x"}), "nodeSelector"),
    "a toleration of everything with a value": Case(
        a_pod(tolerations=[{"operator": "Exists", "value": "x"}]), "a toleration with operator Exists"
    ),
    "a toleration of nothing": Case(a_pod(tolerations=[{"value": "x"}]), "one with Equal needs a key"),
    "annotations": Case(a_pod(annotations={"example.org/note": "any text, ä"})),
    "a node selector": Case(a_pod(nodeSelector={"gpu": "h100"})),
    "tolerations": Case(
        a_pod(
            tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists"}]
        )
    ),
    "a toleration of a value that no taint has": Case(
        a_pod(tolerations=[{"key": "gpu", "value": "two words"}]), "value"
    ),
    "a ServiceAccount of a name with an empty part": Case(
        a_pod(serviceAccountName="a..b"), "serviceAccountName"
    ),
    "topology spread": Case(
        a_pod(
            topologySpreadConstraints=[
                {"topologyKey": "zone"},
                {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 2},
            ]
        )
    ),
    "the same topology spread twice": Case(
        a_pod(
            topologySpreadConstraints=[
                {"topologyKey": "zone"},
                {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 2},
            ]
        ),
        "topologySpreadConstraints",
    ),
    "a spread without a skew": Case(
        a_pod(topologySpreadConstraints=[{"topologyKey": "zone", "maxSkew": 0}]), "maxSkew"
    ),
    "an unknown effect": Case(a_pod(tolerations=[{"key": "gpu", "effect": "Never"}]), "effect"),
    "pull secrets": Case(a_pod(imagePullSecrets=["registry"])),
    "the same pull secret twice": Case(a_pod(imagePullSecrets=["registry", "registry"]), "imagePullSecrets"),
    "a queue of nothing": Case(a_deployment(admission={"maxQueuedRequests": 0})),
    "a queue bounded in tokens": Case(a_deployment(admission={"maxQueuedPromptTokens": 200_000})),
    "a queue of no tokens": Case(
        a_deployment(admission={"maxQueuedPromptTokens": 0}), "maxQueuedPromptTokens"
    ),
    "a log of no request": Case(a_deployment(observability={"requestLog": "Disabled"})),
    "a log of some requests": Case(a_deployment(observability={"requestLog": "Some"}), "requestLog"),
    "a collector": Case(a_deployment(observability={"tracing": {"endpoint": "https://[::1]:4318/tenant/a"}})),
    "a collector without a scheme": Case(
        a_deployment(observability={"tracing": {"endpoint": "collector:4318"}}), "endpoint"
    ),
    "traces that go nowhere": Case(
        a_deployment(observability={"tracing": {"samplingRatePerMillion": 1}}), "endpoint"
    ),
    "more traces than there are": Case(
        a_deployment(
            observability={"tracing": {"endpoint": "http://a", "samplingRatePerMillion": 1_000_001}}
        ),
        "samplingRatePerMillion",
    ),
    "a drain without time": Case(a_deployment(rollout={"drainSeconds": 0}), "drainSeconds"),
    "a change that waits for a person": Case(a_deployment(rollout={"promotion": "Manual"}, paused=True)),
    "a promotion by nobody": Case(a_deployment(rollout={"promotion": "Never"}), "promotion"),
    "a swap": Case(a_deployment(rollout={"strategy": "Swap"})),
    "a swap that waits for room too": Case(
        a_deployment(rollout={"strategy": "Swap", "capacity": "Wait"}), "capacity says nothing"
    ),
    "a wait for room": Case(a_deployment(rollout={"capacity": "Wait"})),
    "a strategy of somebody else": Case(a_deployment(rollout={"strategy": "Canary"}), "strategy"),
    "an observation of no time": Case(a_deployment(rollout={"observeSeconds": 0})),
    "an observation of two days": Case(a_deployment(rollout={"observeSeconds": 172_800}), "observeSeconds"),
    "a comparison of every figure": Case(
        a_deployment(
            rollout={
                "verification": {
                    "comparison": {
                        "minRequests": 10,
                        "maxErrorRateIncreasePermille": 1,
                        "maxTtftP95IncreasePercent": 5,
                        "maxTpotP95IncreasePercent": 5,
                        "maxLatencyP95IncreasePercent": 5,
                        "maxOutputTokensP50DriftPercent": 5,
                    }
                }
            }
        )
    ),
    "a comparison within what sketches cannot tell": Case(
        a_deployment(rollout={"verification": {"comparison": {"maxTtftP95IncreasePercent": 4}}}),
        "maxTtftP95IncreasePercent",
    ),
    "a comparison by nine requests": Case(
        a_deployment(rollout={"verification": {"comparison": {"minRequests": 9}}}), "minRequests"
    ),
    "a pause in words": Case(a_deployment(paused="true"), "paused"),
}

GATES = {
    "golden prompts": Case(a_model_version(goldenPrompts=[a_golden_prompt(), a_golden_prompt("moon")])),
    "the same prompt on two engines": Case(
        a_model_version(goldenPrompts=[a_golden_prompt(), a_golden_prompt(recordedWith="vllm 0.25.1 on cpu")])
    ),
    "the same prompt on one engine twice": Case(
        a_model_version(goldenPrompts=[a_golden_prompt(), a_golden_prompt(prompt=[1])]), "goldenPrompts"
    ),
    "more tokens than numbers": Case(
        a_model_version(goldenPrompts=[a_golden_prompt(tokens=[1, 2, 3])]), "each of tokens has one of"
    ),
    "an answer of nothing": Case(a_model_version(goldenPrompts=[a_golden_prompt(tokens=[])]), "tokens"),
    "a prompt of nothing": Case(a_model_version(goldenPrompts=[a_golden_prompt(prompt=[])]), "prompt"),
    "more likely than certain": Case(
        a_model_version(goldenPrompts=[a_golden_prompt(logProbabilitiesMilliNats=[-500, 1])]),
        "logProbabilitiesMilliNats",
    ),
    "17 golden prompts": Case(
        a_model_version(goldenPrompts=[a_golden_prompt(f"p{n}") for n in range(17)]), "goldenPrompts"
    ),
    "a prompt's name in capitals": Case(a_model_version(goldenPrompts=[a_golden_prompt("Capital")]), "name"),
    "a gate that is required": Case(a_gate(policy="Required", maxDifferenceMilliNats=1)),
    "a gate that is skipped for a reason": Case(a_gate(policy="Skip", skipReason="INC-42")),
    "a gate that is skipped": Case(a_gate(policy="Skip"), "skipReason is required with policy Skip"),
    "a reason to skip nothing": Case(a_gate(skipReason="INC-42"), "not allowed with any other"),
    "a Job": Case(a_job()),
    "a Job with all that it may have": Case(
        a_job(
            command=["pytest", ""],
            args=["-q"],
            env=[{"name": "LEVEL", "value": "3"}, {"name": "_EMPTY"}],
            serviceAccountName="tester",
            timeoutSeconds=86_400,
            resources={"cpu": "500m", "memory": "1Gi"},
            skipReason="INC-42",
        )
    ),
    "a Job without an image": Case(
        without(a_job(), "spec", "rollout", "verification", "job", "image"), "image"
    ),
    "a Job without time": Case(a_job(timeoutSeconds=0), "timeoutSeconds"),
    "a Job of two days": Case(a_job(timeoutSeconds=172_800), "timeoutSeconds"),
    "a Job that is skipped for no reason": Case(a_job(skipReason=""), "skipReason"),
    "a variable of the operator": Case(
        a_job(env=[{"name": "SLUICEGATE_URL", "value": "x"}]), "are set by the operator"
    ),
    "a variable that is no name": Case(a_job(env=[{"name": "MY-LEVEL"}]), "name"),
    "the same variable twice": Case(a_job(env=[{"name": "A"}, {"name": "A", "value": "1"}]), "env"),
    "a webhook": Case(a_webhook("https://gate.example:8443/may?it=serve")),
    "a webhook in the cluster": Case(
        a_webhook("http://gate.ci.svc", timeoutSeconds=300, skipReason="INC-42")
    ),
    "a webhook at an address": Case(a_webhook("http://[2001:db8::1]:80/")),
    "a webhook of a name like an address": Case(a_webhook("http://fe80.example/")),
    "a webhook without an address": Case(a_deployment(rollout={"verification": {"webhook": {}}}), "url"),
    "a webhook that is a file": Case(a_webhook("file:///etc/passwd"), "url"),
    "a webhook with a password": Case(a_webhook("http://user:word@gate.example/"), "url"),
    "a webhook with a line break": Case(a_webhook("http://gate.example/\n"), "url"),
    "a webhook at a cloud's metadata": Case(a_webhook("http://169.254.169.254/"), "link-local address"),
    "a webhook at a link-local address": Case(a_webhook("https://[FEBF::1]/"), "link-local address"),
    "a webhook without time": Case(a_webhook("http://gate.example", timeoutSeconds=0), "timeoutSeconds"),
    "a webhook of an hour": Case(a_webhook("http://gate.example", timeoutSeconds=3600), "timeoutSeconds"),
    "a gate that nothing passes": Case(a_gate(maxDifferenceMilliNats=0), "maxDifferenceMilliNats"),
}

CASES: dict[str, Case] = {**NAMES, **SOURCES, **ENGINES, **PODS, **GATES}
