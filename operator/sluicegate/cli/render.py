"""`sluicegate render FILE...`: the objects that the operator would make, without a cluster."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sluicegate.api.crdgen import RESOURCES, schemas
from sluicegate.api.meta import API_VERSION, GROUP, Model
from sluicegate.api.schema import unknown_fields
from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.cli.command import Command, CommandError, Exit
from sluicegate.cli.files import Object, read
from sluicegate.core import children, naming
from sluicegate.core.colours import Record
from sluicegate.core.exposure import Exposure
from sluicegate.core.inspection import inspection_job
from sluicegate.core.observed import Defaults, SeenDeployment
from sluicegate.core.preflight import preflight
from sluicegate.core.target import target_of
from sluicegate.core.template import pod_template

UNKNOWN_DIGEST = "sha256:" + "0" * 64
UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"
PLACEHOLDERS = {"namespace": "default", "uid": UNKNOWN_UID, "generation": 1}
KINDS: Mapping[tuple[str, str], type[Model]] = {
    (API_VERSION, resource.kind): resource.model for resource in RESOURCES
}
NOT_YET = "1970-01-01T00:00:00Z"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="YAML; - reads standard input")
    parser.add_argument(
        "--engine-image", default="sluicegate-engine", help="engine image where the spec names none"
    )
    parser.add_argument("--store-image", default="sluicegate", help="image of the store sidecar")


def _run(args: Namespace) -> int:
    objects = [obj for path in args.files for obj in read(path)]
    if not any(_is_ours(obj) for obj in objects):
        raise CommandError(f"nothing of {GROUP} in {', '.join(map(str, args.files))}")
    defaults = Defaults(
        cuda_image=args.engine_image,
        cpu_image=args.engine_image,
        store_image=args.store_image,
        operator_namespace="sluicegate-system",
        token_key=b"",
    )
    sys.stdout.write(as_yaml(render(objects, defaults)))
    return Exit.OK


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out in full: an anchor would be shorter, and harder to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(objects: Iterable[Object]) -> str:
    """One document for each object."""
    text: str = yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return text


def render(objects: Iterable[Object], defaults: Defaults) -> Iterator[Object]:
    """Children of every ModelVersion and LLMDeployment among the objects; other kinds are passed over.

    What only a cluster knows is a placeholder: uids, the digest of a version that its spec leaves out, and
    the control token. The Service is as it is once the pods answer.
    """
    parsed = [_parsed(obj) for obj in objects if _is_ours(obj)]
    versions = [_as_inspected(obj) for obj in parsed if isinstance(obj, ModelVersion)]
    for version in versions:
        yield inspection_job(version, defaults)
    for obj in parsed:
        if isinstance(obj, LLMDeployment):
            yield from _children(obj, versions, defaults)


def _is_ours(obj: Object) -> bool:
    return str(obj.get("apiVersion", "")).partition("/")[0] == GROUP


def _children(
    deployment: LLMDeployment, versions: list[ModelVersion], defaults: Defaults
) -> Iterator[Object]:
    name, spec = deployment.metadata.name, deployment.spec
    seen = SeenDeployment(
        custom_resource=_dump(deployment),
        defaults=defaults,
        model_versions={
            version.metadata.name: _dump(version)
            for version in versions
            if version.metadata.namespace == deployment.metadata.namespace
        },
    )
    checked = preflight(spec, seen)
    if checked.problem or checked.pointer is None:
        raise CommandError(
            f"LLMDeployment {name}: {checked.problem.message if checked.problem else 'no files'}"
        )
    target = target_of(spec, checked.pointer)
    rollout = naming.rollout_id(target, deployment.metadata.generation)
    template = pod_template(deployment, rollout, checked.pointer, checked.flags, defaults)
    yield children.control_secret(deployment, defaults.token_key)
    yield children.network_policy(deployment, defaults.operator_namespace)
    record = Record(target, template, checked.pointer.as_json())
    yield children.revision(deployment, rollout, record)
    yield children.pointer(deployment, rollout, checked.pointer.as_json())
    yield children.replica_set(deployment, rollout, target, template, spec.replicas)
    exposure = Exposure(rollout, NOT_YET)
    yield children.preview_service(deployment, exposure)
    yield children.service(deployment, exposure)
    yield children.disruption_budget(deployment, rollout)


def _parsed(obj: Object) -> Model:
    """The object as a strict client would send it and the API server take it, with a namespace."""
    model = KINDS.get((obj["apiVersion"], obj["kind"]))
    if model is None:
        known = ", ".join(kind for _, kind in KINDS)
        raise CommandError(f"there is no {obj['kind']} in {obj['apiVersion']}: {API_VERSION} has {known}")
    given = obj.get("metadata")
    metadata = {**PLACEHOLDERS, **given} if isinstance(given, dict) else {"name": None}
    title = f"{obj['kind']} {metadata.get('name') or ''}".strip()
    if strangers := list(unknown_fields(schemas()[obj["kind"]], obj)):
        raise CommandError(f"{title}: unknown field {', '.join(strangers)}")
    try:
        return model.model_validate_json(json.dumps({**obj, "metadata": metadata}), strict=True)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}" for found in error.errors()
        )
        raise CommandError(f"{title}: {problems}") from error
    except TypeError as error:
        raise CommandError(f"{title}: holds what JSON cannot: {error}") from error


def _as_inspected(version: ModelVersion) -> ModelVersion:
    digest = version.status.digest or version.spec.digest or UNKNOWN_DIGEST
    return version.model_copy(update={"status": version.status.model_copy(update={"digest": digest})})


def _dump(model: Model) -> Object:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


COMMAND = Command("render", "print the objects that the operator would make, offline", _add_arguments, _run)
