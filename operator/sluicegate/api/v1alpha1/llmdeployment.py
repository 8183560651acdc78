"""LLMDeployment: the intent that one model version answers under one address."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sluicegate.api.meta import (
    API_VERSION,
    QUALIFIED,
    SUBDOMAIN,
    Change,
    Condition,
    Digest,
    ListMap,
    ListType,
    Metadata,
    Model,
    ObjectName,
    Rule,
    SecretName,
    Timestamp,
)
from sluicegate.api.naming_rules import CHILD_RULES, FORM_RULES
from sluicegate.api.quantities import Bytes, Processors
from sluicegate.api.v1alpha1.admission import Admission
from sluicegate.api.v1alpha1.engine import Device, Engine
from sluicegate.api.v1alpha1.observability import Observability
from sluicegate.api.v1alpha1.rollout import Rollout

KIND = "LLMDeployment"

LabelKey = Annotated[
    str,
    Field(
        # The domain alone may have as many; nobody's has.
        max_length=253,
        pattern=rf"^({SUBDOMAIN}/)?{QUALIFIED}$",
        description="name or domain/name, the name of at most 63 letters, digits, '-', '_' and '.'",
    ),
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
# Quotas put "requests." before it, and all of that may have 253 characters before the slash.
ResourceName = Annotated[str, Field(max_length=244, pattern=rf"^{SUBDOMAIN}/{QUALIFIED}$")]


class Accelerator(Model):
    """Accelerators of one replica, all on one node."""

    resource: Annotated[ResourceName, Change.TEMPLATE] = "nvidia.com/gpu"
    """Name of the node resource that counts them."""
    count: Annotated[int, Field(ge=1, le=16), Change.TEMPLATE] = 1
    """How many. On CUDA it equals parallelism.tensor x parallelism.pipeline."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!self.resource.contains('kubernetes.io/') && !self.resource.startsWith('requests.')",
            message="resource must be one that a device plugin adds, such as nvidia.com/gpu, "
            "not one of Kubernetes' own",
            holds=lambda a: "kubernetes.io/" not in a.resource and not a.resource.startswith("requests."),
        ),
    )


class Resources(Model):
    """What one replica gets of its node."""

    accelerator: Accelerator | None = None
    """Accelerators. Left out, CUDA takes as many nvidia.com/gpu as its parallelism needs and CPU none."""
    cpu: Annotated[Processors | None, Change.TEMPLATE] = None
    """Processors that the engine is promised, such as 4, "1.5" or 500m. On CPU it computes with as many
    threads."""
    memory: Annotated[Bytes | None, Change.TEMPLATE] = None
    """Memory of the engine, such as 16Gi, promised and limited alike."""


class TolerationOperator(StrEnum):
    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A node taint that the pods tolerate, as in a Pod."""

    key: Annotated[LabelKey | None, Change.TEMPLATE] = None
    """Key of the taint. Left out with operator Exists, every key."""
    operator: Annotated[TolerationOperator, Change.TEMPLATE] = TolerationOperator.EQUAL
    """How key and value are compared."""
    value: Annotated[LabelValue | None, Change.TEMPLATE] = None
    """Value of the taint. Only with operator Equal."""
    effect: Annotated[TaintEffect | None, Change.TEMPLATE] = None
    """Effect of the taint. Left out, every effect."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.operator == 'Exists' ? !has(self.value) : has(self.key)",
            message="a toleration with operator Exists has no value, and one with Equal needs a key",
            holds=lambda t: t.value is None if t.operator is TolerationOperator.EXISTS else t.key is not None,
        ),
    )


class WhenUnsatisfiable(StrEnum):
    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


class TopologySpreadConstraint(Model):
    """How the pods of one version spread over parts of the cluster, as in a Pod."""

    topology_key: Annotated[LabelKey, Change.TEMPLATE]
    """Node label whose values are the parts, such as topology.kubernetes.io/zone."""
    max_skew: Annotated[int, Field(ge=1, le=100), Change.TEMPLATE] = 1
    """How many more pods one part may have than another."""
    when_unsatisfiable: Annotated[WhenUnsatisfiable, Change.TEMPLATE] = WhenUnsatisfiable.SCHEDULE_ANYWAY
    """Whether a pod that would break it waits, or only prefers other parts."""


class Pod(Model):
    """What passes through to the model pods as it is."""

    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32), Change.TEMPLATE] = {}
    """Further labels. Those of sluicegate.dev and app.kubernetes.io are the operator's."""
    annotations: Annotated[
        dict[LabelKey, Annotated[str, Field(max_length=4096)]],
        Field(max_length=32),
        Change.TEMPLATE,
    ] = {}
    """Further annotations."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=32), Change.TEMPLATE] = {}
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32), ListType.ATOMIC] = ()
    """Node taints that the pods tolerate."""
    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...],
        Field(max_length=8),
        ListMap(("topologyKey", "whenUnsatisfiable")),
    ] = ()
    """Parts of the cluster that the pods spread over. Which pods are meant is filled in."""
    image_pull_secrets: Annotated[
        tuple[SecretName, ...], Field(max_length=8), ListType.SET, Change.TEMPLATE
    ] = ()
    """Names of Secrets with registry credentials, in the same namespace."""
    service_account_name: Annotated[SecretName | None, Change.TEMPLATE] = None
    """ServiceAccount of the pods. Left out, no token is mounted."""
    priority_class_name: Annotated[SecretName | None, Change.TEMPLATE] = None
    """PriorityClass of the pods."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.labels) || self.labels.all(k, !k.startsWith('sluicegate.dev/') "
            "&& !k.startsWith('app.kubernetes.io/'))",
            message="labels under sluicegate.dev/ and app.kubernetes.io/ are set by the operator",
            holds=lambda p: (
                not any(k.startswith(("sluicegate.dev/", "app.kubernetes.io/")) for k in p.labels)
            ),
        ),
    )


class LLMDeploymentSpec(Model):
    """What shall answer, on what, and how many times."""

    model_version: Annotated[ObjectName, Change.TEMPLATE]
    """ModelVersion that shall answer, in the same namespace."""
    served_model_name: Annotated[
        str | None,
        Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./:]*[A-Za-z0-9])?$"),
        Change.TEMPLATE,
    ] = None
    """Model name that clients use, constant over versions. Left out, the name of the LLMDeployment."""
    replicas: Annotated[int, Field(ge=0, le=1000), Change.OPERATOR] = 1
    """Number of model pods. Written through the scale subresource too."""
    paused: Annotated[bool, Field(strict=True), Change.OPERATOR] = False
    """Holds changes: no pods for another spec are made, and none take over. Not held: the first version, a
    switch or a swap that has begun, going back, scaling, repair. After a pause that the operator saw, the
    deadline begins anew; one that passed while it was away counts."""
    engine: Engine = Engine()
    """Settings of vLLM."""
    resources: Resources = Resources()
    """What one replica gets of its node."""
    pod: Pod = Pod()
    """What passes through to the model pods as it is."""
    admission: Admission = Admission()
    """What a replica takes on beyond the requests it computes."""
    observability: Observability = Observability()
    """What model pods tell of the requests that they answer."""
    rollout: Rollout = Rollout()
    """How a new version or new engine settings take over."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.resources.accelerator) || self.engine.device != 'CUDA' || "
            "self.resources.accelerator.count == "
            "self.engine.parallelism.tensor * self.engine.parallelism.pipeline",
            message="on CUDA, resources.accelerator.count must equal "
            "engine.parallelism.tensor x engine.parallelism.pipeline",
            holds=lambda s: _accelerators_fit(s),  # noqa: PLW0108 defined below,
        ),
        Rule(
            cel="self.engine.device != 'CPU' || self.engine.parallelism.pipeline == 1",
            message="the CPU backend has no pipeline parallelism: set engine.parallelism.pipeline to 1",
            holds=lambda s: s.engine.device is not Device.CPU or s.engine.parallelism.pipeline == 1,
        ),
    )


def _accelerators_fit(spec: LLMDeploymentSpec) -> bool:
    wanted = spec.engine.parallelism.tensor * spec.engine.parallelism.pipeline
    accelerator = spec.resources.accelerator
    return accelerator is None or spec.engine.device is not Device.CUDA or accelerator.count == wanted


class Phase(StrEnum):
    """One word for people, derived from the conditions; programs read the conditions."""

    PENDING = "Pending"
    ROLLING = "Rolling"
    READY = "Ready"
    IDLE = "Idle"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    TERMINATING = "Terminating"


class Step(StrEnum):
    """Where a change stands."""

    PROVISIONING = "Provisioning"
    """New pods come up beside those that serve."""
    VERIFYING = "Verifying"
    """The new pods are ready; one is asked through the preview Service."""
    AWAITING_PROMOTION = "AwaitingPromotion"
    """The new pods are verified and a person has to promote them."""
    PAUSED = "Paused"
    """spec.paused, or a freeze of all rollouts, keeps new pods from being made or from serving."""
    SWAPPING = "Swapping"
    """The old pods finish what they have and go, to make room for the new ones."""
    AWAITING_CAPACITY = "AwaitingCapacity"
    """No node has room for the new pods, and rollout.capacity lets them wait."""
    STAGING = "Staging"
    """The running pods bring the new files beside those that they serve."""
    CANARY = "Canary"
    """One pod changes to the new files, and has to answer right."""
    FLEET = "Fleet"
    """The other pods change to the new files, one after another."""
    CUTOVER = "Cutover"
    """The Service moves from the old pods to the new."""
    OBSERVING = "Observing"
    """The new version serves; the old pods stay, or what changed in place can change back, where it fails or
    is worse."""
    REVERTING = "Reverting"
    """The new version failed or is worse: the Service moves back to the old pods, or pods change back."""
    DRAINING = "Draining"
    """The old pods finish what they have."""
    DISCARDING = "Discarding"
    """The new pods have failed and are removed."""


class Outcome(StrEnum):
    """How a rollout ended."""

    PROMOTED = "Promoted"
    """It took over, and was observed for as long as was asked."""
    ROLLED_BACK = "RolledBack"
    """It failed before it was promoted."""
    SUPERSEDED = "Superseded"
    """The spec asked for something else before it was promoted."""


class Ending(Model):
    """How a rollout ended, why and when."""

    outcome: Outcome
    """Promoted, RolledBack or Superseded."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """One word, in CamelCase, that programs may compare."""
    message: Annotated[str, Field(max_length=512)] = ""
    """What was wrong with it."""
    finished_at: Timestamp
    """When it ended."""


class Ended(Ending):
    """A rollout that is over."""

    id: Annotated[str, Field(max_length=8)]
    """Identity of the rollout, and of its colour where it had one."""
    version: Annotated[str, Field(max_length=63)] = ""
    """ModelVersion that was to serve."""


class Serving(Model):
    """What answers requests now."""

    version: Annotated[str, Field(max_length=63)] = ""
    """ModelVersion that answers."""
    digest: Annotated[str, Field(max_length=71)] = ""
    """Digest of its files."""
    rollout: Annotated[str, Field(max_length=8)] = ""
    """Identity of the colour that answers, the value of the label sluicegate.dev/rollout on its pods."""


class LastGood(Model):
    """What took over last and serves, or served last."""

    version: Annotated[str, Field(max_length=63)]
    """ModelVersion that was promoted."""
    digest: Annotated[str, Field(max_length=71)] = ""
    """Digest of its files."""
    rollout: Annotated[str, Field(max_length=8)]
    """Identity of the rollout that was promoted."""


class RolloutStatus(Model):
    """The change in progress."""

    id: Annotated[str, Field(max_length=8)]
    """Identity of the rollout, and of the new colour where there is one."""
    from_version: Annotated[str, Field(max_length=63)] = ""
    """ModelVersion that served before; empty for the first."""
    to_version: Annotated[str, Field(max_length=63)]
    """ModelVersion that shall serve."""
    step: Step
    """Where the change stands."""
    step_started_at: Timestamp
    """When this step began."""
    deadline: Timestamp | None = None
    """When it fails unless its pods are ready and answer; of Observing, when that ends. Absent where it may
    take its time."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What it waits for, for people."""
    not_in_place: Annotated[str | None, Field(max_length=512)] = None
    """Why new pods come, although rollout.strategy is HotReload."""
    resumed_at: Timestamp | None = None
    """When it last went on after a pause or a wait for a person or for room. progressDeadlineSeconds counts
    from then."""


class LLMDeploymentStatus(Model):
    """What is, as the operator saw it last."""

    observed_generation: Annotated[int, Field(json_schema_extra={"format": "int64"})] = -1
    """The generation of the spec that this status speaks of."""
    phase: Phase | None = None
    """One word for people."""
    serving: Serving | None = None
    """What answers requests now. Absent where nothing does."""
    target: Annotated[str, Field(max_length=63)] = ""
    """ModelVersion that shall answer."""
    url: Annotated[str, Field(max_length=256)] = ""
    """Address inside the cluster, of the OpenAI-compatible API."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Number of pods of the serving colour."""
    ready_replicas: Annotated[int, Field(ge=0)] = 0
    """Number of pods of the serving colour that are ready."""
    replica_summary: Annotated[str, Field(max_length=32)] = ""
    """Ready and wanted number of pods, for people."""
    selector: Annotated[str, Field(max_length=256)] = ""
    """Label selector of the pods, for the scale subresource."""
    rollout: RolloutStatus | None = None
    """The change of colour in progress. Absent where there is none."""
    last_good: LastGood | None = None
    """What was promoted last, the serving one where one serves."""
    history: Annotated[tuple[Ended, ...], Field(max_length=64), ListType.ATOMIC] = ()
    """Rollouts that are over, newest first, as their records tell."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), ListMap(("type",))] = ()
    """Aspects of the state. Ready is always there; Reconciling and Stalled only while they hold."""


class LLMDeployment(Model):
    """LLMDeployment runs one model version on vLLM pods behind one Service.

    A change of the version or the engine brings up new pods beside the old ones, asks them, moves the
    Service to them and drains the old ones.
    """

    api_version: Literal["sluicegate.dev/v1alpha1"] = "sluicegate.dev/v1alpha1"
    kind: Literal["LLMDeployment"] = "LLMDeployment"
    metadata: Metadata
    spec: LLMDeploymentSpec
    """What shall answer, on what, and how many times."""
    status: LLMDeploymentStatus = LLMDeploymentStatus()
    """What is, as the operator saw it last."""

    RULES: ClassVar[tuple[Rule, ...]] = (*FORM_RULES, *CHILD_RULES)


__all__ = ["API_VERSION", "KIND", "Digest", "LLMDeployment", "LLMDeploymentSpec", "LLMDeploymentStatus"]
