"""Gates of a user's own: a Job that tries the new pods and a webhook that is asked before they may serve."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import Field

from sluicegate.api.meta import Change, ListMap, ListType, Model, Rule, SecretName
from sluicegate.api.quantities import Bytes, Processors

OWN_PREFIX = "SLUICEGATE_"
"""Of the variables that tell a Job what it is to try."""

Words = Annotated[
    tuple[Annotated[str, Field(max_length=4096)], ...],
    Field(max_length=64),
    ListType.ATOMIC,
    Change.OPERATOR,
]
SkipReason = Annotated[str | None, Field(min_length=1, max_length=256), Change.OPERATOR]


class Variable(Model):
    """An environment variable."""

    name: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Change.OPERATOR
    ]
    """Name of the variable. Those that begin with SLUICEGATE_ are the operator's."""
    value: Annotated[str, Field(max_length=4096), Change.OPERATOR] = ""
    """Its value. It is no place for secrets: whoever may read the LLMDeployment reads it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"!self.name.startsWith('{OWN_PREFIX}')",
            message=f"variables that begin with {OWN_PREFIX} are set by the operator",
            holds=lambda v: not v.name.startswith(OWN_PREFIX),
        ),
    )


class JobResources(Model):
    """What the Job's pod gets of its node."""

    cpu: Annotated[Processors | None, Change.OPERATOR] = None
    """Processors that it is promised, such as 1 or 500m."""
    memory: Annotated[Bytes | None, Change.OPERATOR] = None
    """Memory, such as 1Gi, promised and limited alike."""


class JobGate(Model):
    """A Job that tries the new pods once they answer and golden prompts hold."""

    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[!-~]+$"), Change.OPERATOR]
    """Image of its one container. Secrets of spec.pod.imagePullSecrets are used to pull it."""
    command: Words = ()
    """Entry point of the container. Left out, the image's own."""
    args: Words = ()
    """Arguments of the entry point."""
    env: Annotated[tuple[Variable, ...], Field(max_length=32), ListMap(("name",))] = ()
    """Further environment variables."""
    service_account_name: Annotated[SecretName | None, Change.OPERATOR] = None
    """ServiceAccount of the pod. Left out, no token is mounted."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400), Change.OPERATOR] = 600
    """Time from its creation after which it has failed, in seconds. It is part of
    rollout.progressDeadlineSeconds."""
    resources: JobResources = JobResources()
    """What its pod gets of its node."""
    skip_reason: SkipReason = None
    """Why it is skipped for now: it is shown with the rollout and kept in its history. Left out, it runs."""


LINK_LOCAL = "^https?://(169[.]254[.]|[^a-z0-9.]fe[89ab])"
"""Addresses at which nodes and clouds tell secrets to whatever runs on them, in lower case."""


class WebhookGate(Model):
    """An address that is asked once the new pods answer and the other gates are open."""

    url: Annotated[
        str,
        Field(min_length=1, max_length=2048, pattern=r"^https?://[-A-Za-z0-9._:\[\]]+([/?][!-~]*)?$"),
        Change.OPERATOR,
    ]
    """Where to ask. No redirect is followed, and no proxy used."""
    timeout_seconds: Annotated[int, Field(ge=1, le=300), Change.OPERATOR] = 30
    """Time that an answer may take, in seconds."""
    skip_reason: SkipReason = None
    """Why it is skipped for now: it is shown with the rollout and kept in its history. Left out, it is
    asked."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"!self.url.lowerAscii().matches('{LINK_LOCAL}')",
            message="url may not name a link-local address",
            holds=lambda w: re.search(LINK_LOCAL, w.url.lower()) is None,
        ),
    )
