"""Everything a decision may look at, gathered before it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sluicegate.core.objects import Manifest
from sluicegate.core.problem import Problem


@dataclass(frozen=True)
class Answer:
    """What a Service said to one generation: the version named in its header, or what went wrong."""

    at: datetime
    version: str | None
    error: str | None = None


@dataclass(frozen=True)
class Scores:
    """What an engine made of texts: the log-probability in nats of each of their tokens, by the text's name.

    None stands where it gave no number. `version` is the one that all answers named. `refusal` is what it
    said of a text that it does not take, `error` why there is no answer.
    """

    at: datetime
    version: str | None
    log_probabilities: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    error: str | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class Reply:
    """What a webhook said: an HTTP status and of a refusal the beginning of its text, or `error`, why it
    said nothing."""

    at: datetime
    status: int | None
    text: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Reloading:
    """What a pod says of the last change of its files: to which digest, with which sequence, how far ("Stage"
    or "Switch"), and how it ended, or None while it goes on. `reason` is one word."""

    digest: str
    sequence: int
    mode: str
    outcome: str | None
    reason: str
    message: str

    @property
    def lives(self) -> bool:
        """Whether it goes on, or holds memory for what may come."""
        return self.outcome in (None, "Staged")


@dataclass(frozen=True)
class RuntimeStatus:
    """What a model pod's control port said last: `digest` is of the weights it serves.

    `vllm` is the version that computes, None of a runtime that does not tell. `measured` is what its answers
    were like, by version; core.comparison reads it. `sequence` is of the last change of its files, None of a
    runtime that cannot change them, and `reload` the last try. It is `ordered` while an order to it is under
    way: all this was heard before that.
    """

    at: datetime
    digest: str | None
    ready: bool
    in_flight: int
    error: str | None = None
    vllm: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    sequence: int | None = None
    reload: Reloading | None = None
    ordered: bool = False


@dataclass(frozen=True)
class Defaults:
    """The operator's own settings that a decision uses.

    `store_image` is the small image; `token_key` the operator's key of control tokens. `freeze` is why no
    rollout goes on, "" while they do.
    """

    cuda_image: str
    cpu_image: str
    store_image: str
    operator_namespace: str
    token_key: bytes = field(repr=False)
    freeze: str = ""


@dataclass(frozen=True)
class SeenDeployment:
    """One LLMDeployment and its world.

    `custom_resource` is a live read; the children come from caches that contain our last writes.
    `model_versions` holds the ModelVersions named by the spec, where they exist. `answers`, `scores`
    and `replies` are keyed by the subject of the question, `runtimes` by pod uid. `obstacle` is what the
    last write met. `jobs` are those that verify colours; their pods are among `pods`. `nodes` is every node
    of the cluster.
    """

    custom_resource: Manifest
    defaults: Defaults
    model_versions: Mapping[str, Manifest] = field(default_factory=dict)
    replica_sets: tuple[Manifest, ...] = ()
    revisions: tuple[Manifest, ...] = ()
    config_maps: tuple[Manifest, ...] = ()
    services: tuple[Manifest, ...] = ()
    disruption_budgets: tuple[Manifest, ...] = ()
    network_policies: tuple[Manifest, ...] = ()
    secrets: tuple[Manifest, ...] = ()
    jobs: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    nodes: tuple[Manifest, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    scores: Mapping[str, Scores] = field(default_factory=dict)
    replies: Mapping[str, Reply] = field(default_factory=dict)
    runtimes: Mapping[str, RuntimeStatus] = field(default_factory=dict)
    obstacle: Problem | None = None


@dataclass(frozen=True)
class SeenModelVersion:
    """One ModelVersion and its world: the inspection Job, its pods, and who uses it (a live list)."""

    custom_resource: Manifest
    defaults: Defaults
    jobs: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    users: tuple[str, ...] = ()
    obstacle: Problem | None = None
