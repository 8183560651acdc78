"""Names, labels and identities of what belongs to an LLMDeployment or a ModelVersion."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "sluicegate"
PART_OF = "app.kubernetes.io/part-of"
"""On what belongs to an installation of the operator, with MANAGER as value."""
DEPLOYMENT = "sluicegate.dev/deployment"
MODEL_VERSION = "sluicegate.dev/model-version"
ROLLOUT = "sluicegate.dev/rollout"
TARGET = "sluicegate.dev/target"
INTENT = "sluicegate.dev/intent"
RECONCILE = "sluicegate.dev/reconcile"
FINALIZER = "sluicegate.dev/in-use"
PROMOTE = "sluicegate.dev/promote"
"""On an LLMDeployment, by a person: the identity of the rollout that may take over, and of no later one."""

RETRY = "sluicegate.dev/retry"
"""On an LLMDeployment, by a person: the identity of the failed rollout that is to be tried again."""
ABORT = "sluicegate.dev/abort"
"""On an LLMDeployment, by a person: the identity of the rollout that is to fail before it is promoted."""

OUTCOME = "sluicegate.dev/outcome"
"""On a colour's ControllerRevision: how its rollout ended, as JSON."""
SETTLED = "sluicegate.dev/settled"
"""On that of a failed rollout which keeps its target from being made no longer."""

VERIFICATION = "sluicegate.dev/verification"
"""On it too: what the gates made of the colour before it served."""

VERIFIES = "sluicegate.dev/verifies"
"""On the pods of a verification Job, which no Service may select: the LLMDeployment."""
SETTINGS = "sluicegate.dev/settings"
"""On a verification Job: hash of the settings that it was made from."""

SWAPS = "sluicegate.dev/swaps"
"""On it too, until the colour is promoted: the pods of the one before go first, to make room for its own."""

RELOADED = "sluicegate.dev/reloaded"
"""On it too: what its pods were told to serve since it was made, as JSON."""
NOT_IN_PLACE = "sluicegate.dev/not-in-place"
"""On it too: why new pods come, although the running ones were to change."""

RETIRED = "sluicegate.dev/retired"
"""On a ReplicaSet that is about to be deleted."""

EXPOSES = "sluicegate.dev/exposes"
EXPOSED_SINCE = "sluicegate.dev/exposed-since"

OPERATOR_LABELS: Mapping[str, str] = {
    "app.kubernetes.io/name": "sluicegate",
    "app.kubernetes.io/component": "operator",
}
"""On the operator's own pods."""

NO_ROLLOUT = "none"
"""Stands for a rollout in a selector that shall match no pod."""
EVERY_ROLLOUT = "all"
"""Stands for a rollout in a selector that shall match the pods of every colour."""


def digest_of(value: Any, length: int) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of a JSON value, whatever its key order."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:length]


def rollout_id(target: str, generation: int) -> str:
    """Identity of a colour: 8 hexadecimal digits of its target and the generation that asked for it."""
    return digest_of([target, generation], 8)


def deployment_labels(deployment: str) -> dict[str, str]:
    return {MANAGED_BY: MANAGER, DEPLOYMENT: deployment}


def colour_labels(deployment: str, rollout: str) -> dict[str, str]:
    return {**deployment_labels(deployment), ROLLOUT: rollout}


def model_labels(model_version: str) -> dict[str, str]:
    return {MANAGED_BY: MANAGER, MODEL_VERSION: model_version}


def colour_name(deployment: str, rollout: str) -> str:
    return f"{deployment}-{rollout}"


def pointer_name(deployment: str, rollout: str) -> str:
    return f"{deployment}-{rollout}-model"


def job_name(deployment: str, rollout: str) -> str:
    """Of a colour's verification Job: 63 characters at most, as its pods' labels repeat it."""
    return f"{deployment}-{rollout}-job"


def rollout_in(name: str, deployment: str) -> str | None:
    """The rollout that an object of a colour is named for. Labels can be edited, names cannot."""
    found = re.fullmatch(rf"{re.escape(deployment)}-([0-9a-f]{{8}})(-model|-job)?", name)
    return found[1] if found else None


def preview_name(deployment: str) -> str:
    return f"{deployment}-preview"


def control_name(deployment: str) -> str:
    return f"{deployment}-control"


def inspection_name(model_version: str) -> str:
    return f"{model_version}-inspect"
