"""`sluicegate golden record`: what the serving version makes of prompts, written into its ModelVersion.

It is asked as users ask it, through its Service, which the API server passes on.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from sluicegate.api.v1alpha1.golden import LONGEST_ANSWER, MOST_PROMPTS, GoldenPrompt
from sluicegate.cli import cluster as clusters
from sluicegate.cli.cluster import Cluster, found
from sluicegate.cli.command import Command, CommandError, Exit, Group, add_object_flags, add_output_flag
from sluicegate.cli.edit import Patch, edited
from sluicegate.cli.view import Object
from sluicegate.core import naming
from sluicegate.core.fingerprint import fingerprint
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, REPLICA_SET
from sluicegate.shell import scoring
from sluicegate.shell.pods import VERSION_HEADER

DEFAULT_TOKENS = 16


class Prompt(BaseModel):
    """One entry of the file: a text as it is, or a conversation that the model's chat template is put to."""

    model_config = ConfigDict(extra="forbid")

    name: str
    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] | None = None

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("an entry has either prompt or messages")
        return self

    @property
    def words(self) -> dict[str, Any]:
        """What vLLM is to make tokens of."""
        if self.messages is None:
            return {"prompt": self.prompt}
        return {"messages": list(self.messages), "add_generation_prompt": True}


@dataclass(frozen=True)
class Serving:
    """What answers: `version` of these files, as `model` to clients, on the engine `recorded_with`."""

    cluster: Cluster
    service: str
    version: str
    digest: str
    model: str = ""
    recorded_with: str = ""

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Object:
        """Raises CommandError where another version answers."""
        method = "GET" if body is None else "POST"
        where = self.cluster.namespace
        answer, headers = await self.cluster.client.ask(where, self.service, method, path, body)
        if headers.get(VERSION_HEADER) != self.version:
            said = f"{headers.get(VERSION_HEADER) or 'somebody else'} answered instead of {self.version}"
            raise CommandError(f"{said}: try again when no rollout is under way")
        return answer


def _tokens(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= LONGEST_ANSWER:
        raise ArgumentTypeError(f"must be a number from 1 to {LONGEST_ANSWER}")
    return number


def _add_record_arguments(parser: ArgumentParser) -> None:
    add_object_flags(parser)
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="YAML list of prompts, each with a name and either prompt (a text) or messages (a conversation)",
    )
    parser.add_argument(
        "--max-tokens",
        type=_tokens,
        default=DEFAULT_TOKENS,
        metavar="NUMBER",
        help=f"longest answer, in tokens (default {DEFAULT_TOKENS}, at most {LONGEST_ANSWER})",
    )
    add_output_flag(parser)


def prompts_in(path: Path) -> Sequence[Prompt]:
    """The prompts of a file. Raises CommandError with what is wrong."""
    try:
        return _FILE.validate_python(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeError, yaml.YAMLError, ValidationError) as error:
        raise CommandError(f"cannot read {path}: {error}", Exit.USAGE_OR_PERMISSION) from error


_FILE = TypeAdapter(Annotated[tuple[Prompt, ...], Field(min_length=1, max_length=MOST_PROMPTS)])


async def _record(args: Namespace) -> int:
    prompts = prompts_in(args.prompts)
    async with clusters.connected(args) as cluster:
        serving = await serving_now(cluster, args.name)
        recorded = [await _answered(serving, each, args.max_tokens) for each in prompts]
        await _written(serving, recorded)
    if args.output == "json":
        told = {"modelVersion": serving.version, "recordedWith": serving.recorded_with}
        print(json.dumps({**told, "goldenPrompts": recorded}, indent=2))
    else:
        names = ", ".join(f"{each['name']} ({len(each['tokens'])} tokens)" for each in recorded)
        print(f"recorded in ModelVersion {serving.version}, with {serving.recorded_with}: {names}")
    return Exit.OK


async def serving_now(cluster: Cluster, name: str) -> Serving:
    """What answers behind a deployment's Service. Raises CommandError where nothing does."""
    deployment = await found(cluster, LLM_DEPLOYMENT, name)
    serves = (deployment.get("status") or {}).get("serving")
    if not serves:
        raise CommandError(f"nothing of {name} serves: there is nobody to ask")
    colour = naming.colour_name(name, serves["rollout"])
    pods = await cluster.client.get(REPLICA_SET, cluster.namespace, colour)
    known = Serving(cluster, name, serves["version"], serves["digest"])
    vllm = (await known.ask("/version"))["version"]
    model = (await known.ask("/v1/models"))["data"][0]["id"]
    engine = fingerprint(pods["spec"]["template"], vllm)
    return Serving(cluster, name, known.version, known.digest, model, engine)


async def _answered(serving: Serving, prompt: Prompt, longest: int) -> dict[str, Any]:
    """The prompt with the likeliest answer, and how likely that is when it is put to the engine again."""
    asked = (await serving.ask("/tokenize", {"model": serving.model, **prompt.words}))["tokens"]
    greedy = {"temperature": 0, "max_tokens": longest, "return_token_ids": True}
    body = {"model": serving.model, "prompt": asked, **greedy}
    tokens = (await serving.ask("/v1/completions", body))["choices"][0]["token_ids"]
    scored = await serving.ask("/v1/completions", scoring.question(serving.model, asked, tokens))
    nats = scoring.scores(scored, tokens)
    finite = tuple(each for each in nats if each is not None and math.isfinite(each))
    if len(finite) < len(nats):
        raise CommandError(f"{prompt.name}: {serving.version} gives no finite log-probabilities: {nats}")
    try:
        golden = GoldenPrompt(
            name=prompt.name,
            recorded_with=serving.recorded_with,
            prompt=tuple(asked),
            tokens=tuple(tokens),
            log_probabilities_milli_nats=tuple(min(0, round(each * 1000)) for each in finite),
        )
    except ValidationError as error:
        raise CommandError(f"{prompt.name} cannot be a golden prompt: {error}") from error
    return golden.model_dump(mode="json", by_alias=True)


async def _written(serving: Serving, recorded: Sequence[Mapping[str, Any]]) -> None:
    """Put them in the place of those of the same name and engine; others stay."""
    anew = {(each["name"], each["recordedWith"]) for each in recorded}

    async def change(version: Object) -> Patch | None:
        if (version.get("status") or {}).get("digest") != serving.digest:
            raise CommandError(f"ModelVersion {serving.version} is of other files than those that serve")
        before = version["spec"].get("goldenPrompts") or []
        kept = [each for each in before if (each["name"], each["recordedWith"]) not in anew]
        after = [*kept, *recorded]
        return None if after == before else {"spec": {"goldenPrompts": after}}

    await edited(serving.cluster, serving.version, change, MODEL_VERSION)


RECORD = Command(
    "record",
    "ask the serving version and write its answers into its ModelVersion, which later pods are held to",
    _add_record_arguments,
    _record,
)
GROUP = Group("golden", "golden prompts, which new pods are held to before they may serve", (RECORD,))
