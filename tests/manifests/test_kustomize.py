"""The installation's own objects: safe by themselves, and with the rights that the code uses."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import yaml

from sluicegate.kube.resources import Resource
from sluicegate.settings import add_arguments
from sluicegate.shell.token_key import NAME as KEY_NAME
from sluicegate.shell.view import OWNED

BASE = Path(__file__).parents[2] / "manifests" / "kustomize" / "base"


def _objects(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((BASE / file).read_text()))


def _rules(file: str) -> list[dict[str, Any]]:
    return [rule for obj in _objects(file) for rule in obj.get("rules", ())]


def _verbs(resource: Resource) -> set[str]:
    return {
        verb
        for rule in _rules("manager-role.yaml")
        if resource.group in rule["apiGroups"] and resource.plural in rule["resources"]
        for verb in rule["verbs"]
    }


def test_every_kind_that_is_watched_may_be_listed_and_watched() -> None:
    assert {kind.kind for kind in OWNED if not {"list", "watch"} <= _verbs(kind)} == set()


def test_no_right_is_given_by_a_wildcard() -> None:
    files = ("manager-role.yaml", "nodes-role.yaml", "own-namespace-role.yaml", "user-roles.yaml")
    rules = [rule for file in files for rule in _rules(file)]

    assert rules
    assert not any("*" in rule[key] for rule in rules for key in ("apiGroups", "resources", "verbs"))


def test_pods_and_specs_are_never_written() -> None:
    written = {
        resource
        for rule in _rules("manager-role.yaml")
        for resource in rule["resources"]
        if set(rule["verbs"]) & {"create", "update", "patch", "delete"}
    }

    assert "pods" not in written
    assert "llmdeployments" not in written


def test_every_right_says_why_it_is_given() -> None:
    for file in ("manager-role.yaml", "nodes-role.yaml", "own-namespace-role.yaml"):
        lines = (BASE / file).read_text().splitlines()
        reasons = [line for line, after in itertools.pairwise(lines) if "- apiGroups" in after]

        assert reasons
        assert all(line.startswith("  #") or "verbs:" in line for line in reasons), file


def test_the_key_and_the_lease_are_named_as_the_code_names_them() -> None:
    from sluicegate.shell.operator import LEASE_NAME

    named = {name for rule in _rules("own-namespace-role.yaml") for name in rule.get("resourceNames", ())}

    assert named == {KEY_NAME, LEASE_NAME}


def test_the_operator_meets_the_restricted_level() -> None:
    (deployment,) = _objects("manager.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}


def test_every_setting_of_the_installation_is_one_that_the_operator_reads() -> None:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    given = {literal.partition("=")[0]: literal.partition("=")[2] for literal in _literals(kustomization)}
    parser = _Variables()
    add_arguments(parser, given)  # type: ignore[arg-type]

    assert given.keys() <= parser.read
    assert not parser.missing


def _literals(kustomization: dict[str, Any]) -> list[str]:
    return [literal for each in kustomization["configMapGenerator"] for literal in each["literals"]]


class _Variables:
    """Stands in for a parser: notes which variable each flag reads, and which flags stay unset."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.missing: set[str] = set()

    def add_argument(self, flag: str, *, required: bool, help: str, **_: Any) -> None:
        self.read.add(help.rpartition("[")[2].rstrip("]"))
        if required:
            self.missing.add(flag)
