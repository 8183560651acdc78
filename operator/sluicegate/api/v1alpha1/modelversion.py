"""ModelVersion: one immutable set of weights."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sluicegate.api.meta import (
    Change,
    Condition,
    Digest,
    ListMap,
    Metadata,
    Model,
    Rule,
    SecretName,
    Timestamp,
)
from sluicegate.api.naming_rules import FORM_RULES
from sluicegate.api.v1alpha1.golden import MOST_PROMPTS, GoldenPrompt

KIND = "ModelVersion"

PVC_PATTERN = r"^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_][-A-Za-z0-9_.]*)*$"
HUB_PATTERN = r"^hf://[A-Za-z0-9][-A-Za-z0-9_.]*/[A-Za-z0-9][-A-Za-z0-9_.]*@[0-9a-f]{40}$"


class Source(Model):
    """Where the files come from."""

    uri: Annotated[str, Field(min_length=1, max_length=512), Change.NEVER]
    """pvc://claim/path, a folder on a PersistentVolumeClaim of this namespace, or
    hf://organisation/name@commit, a Hugging Face repository at a full commit hash."""
    endpoint: Annotated[
        str | None, Field(min_length=1, max_length=256, pattern=r"^https?://[!-~]+$"), Change.NEVER
    ] = None
    """Address of a mirror of the hub. Left out, the public Hugging Face hub. Only with hf://."""
    secret_name: Annotated[SecretName | None, Change.NEVER] = None
    """Secret whose key "token" holds the hub's access token. Only with hf://."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"self.uri.matches('{PVC_PATTERN}') || self.uri.matches('{HUB_PATTERN}')",
            message="uri must read pvc://claim/path or hf://organisation/name@commit with a commit of 40 "
            "hexadecimal digits (a branch or tag can change)",
            holds=lambda s: bool(re.fullmatch(PVC_PATTERN, s.uri) or re.fullmatch(HUB_PATTERN, s.uri)),
        ),
        Rule(
            cel="self.uri.startsWith('hf://') || (!has(self.endpoint) && !has(self.secretName))",
            message="endpoint and secretName are only for hf:// sources",
            holds=lambda s: s.uri.startswith("hf://") or (s.endpoint is None and s.secret_name is None),
        ),
    )


class ModelVersionSpec(Model):
    """Where the weights come from, and what they must be."""

    source: Source
    """Where the files come from."""
    digest: Annotated[Digest | None, Change.NEVER] = None
    """Digest that the files must have. Left out, the one found at first is recorded in the status."""
    golden_prompts: Annotated[
        tuple[GoldenPrompt, ...], Field(max_length=MOST_PROMPTS), ListMap(("name", "recordedWith"))
    ] = ()
    """Prompts with known answers, which new pods are held to before they may serve. May be added later."""


class Facts(Model):
    """What the files say of the model."""

    architecture: Annotated[str, Field(max_length=128)] = ""
    """Class of the model, such as LlamaForCausalLM."""
    dtype: Annotated[str, Field(max_length=32)] = ""
    """Element type of most weights."""
    quantization: Annotated[str, Field(max_length=64)] = "None"
    """Method that the checkpoint is quantised with."""
    parameters: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """Number of weights."""
    context_length: Annotated[int, Field(ge=0)] = 0
    """Longest sequence that the model was made for, in tokens."""
    attention_heads: Annotated[int, Field(ge=0)] = 0
    """Number of attention heads, which tensor parallelism must divide."""
    vocabulary_size: Annotated[int, Field(ge=0)] = 0
    """Number of tokens in the vocabulary."""
    tokenizer_digest: Annotated[str, Field(max_length=71)] = ""
    """Digest of the tokenizer's files."""


class ModelVersionStatus(Model):
    """What the inspection found."""

    observed_generation: Annotated[int, Field(json_schema_extra={"format": "int64"})] = -1
    """The generation of the spec that this status speaks of."""
    digest: Annotated[str, Field(max_length=71)] = ""
    """Digest of the verified files."""
    size_bytes: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """Size of the files, in bytes."""
    size: Annotated[str, Field(max_length=16)] = ""
    """Size of the files, for people."""
    facts: Facts | None = None
    """What the files say of the model."""
    attempts: Annotated[int, Field(ge=0)] = 0
    """Number of inspections that failed in a row."""
    last_attempt_time: Timestamp | None = None
    """When the last of them failed. The next one starts later and later, at most 10 minutes after it."""
    last_attempt_uid: Annotated[str, Field(max_length=64)] = ""
    """uid of the last of their Jobs, which is counted once."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), ListMap(("type",))] = ()
    """Aspects of the state. Ready is always there; Reconciling and Stalled only while they hold."""


class ModelVersion(Model):
    """ModelVersion names one immutable set of model files.

    Its files are inspected once: every byte is read, hashed and checked before a deployment may use it.
    """

    api_version: Literal["sluicegate.dev/v1alpha1"] = "sluicegate.dev/v1alpha1"
    kind: Literal["ModelVersion"] = "ModelVersion"
    metadata: Metadata
    spec: ModelVersionSpec
    """Where the weights come from, and what they must be. Only its goldenPrompts ever change."""
    status: ModelVersionStatus = ModelVersionStatus()
    """What the inspection found."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *FORM_RULES,
        Rule(
            cel="self.spec.source == oldSelf.spec.source "
            "&& has(self.spec.digest) == has(oldSelf.spec.digest) "
            "&& (!has(self.spec.digest) || self.spec.digest == oldSelf.spec.digest)",
            message="source and digest of a ModelVersion never change: make a new ModelVersion instead",
            holds=None,
        ),
    )
