"""Settings from flags and environment."""

from __future__ import annotations

import argparse

import pytest

from sluicegate.settings import Settings, add_arguments, from_arguments

IMAGES = {
    "SLUICEGATE_ENGINE_IMAGE_CUDA": "cuda:1",
    "SLUICEGATE_ENGINE_IMAGE_CPU": "cpu:1",
    "SLUICEGATE_STORE_IMAGE": "store:1",
}


def settings(*flags: str, **environment: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_arguments(parser, {**IMAGES, **environment})
    return from_arguments(parser.parse_args(flags))


def test_the_environment_suffices_and_the_rest_has_defaults() -> None:
    chosen = settings()
    assert chosen.namespaces == ()
    assert chosen.operator_namespace == "sluicegate-system"
    assert (chosen.cuda_image, chosen.cpu_image, chosen.store_image) == ("cuda:1", "cpu:1", "store:1")
    assert (chosen.http_port, chosen.resync_seconds, chosen.log_level) == (8080, 600.0, "INFO")


def test_a_flag_overrides_its_variable() -> None:
    assert settings("--http-port=9000", SLUICEGATE_HTTP_PORT="8000").http_port == 9000


def test_a_freeze_is_told_with_its_reason_on_one_line() -> None:
    assert settings().freeze == ""
    assert settings(SLUICEGATE_FREEZE="incident\n 4711").freeze == "incident 4711"


def test_namespaces_are_a_list_with_commas() -> None:
    assert settings(SLUICEGATE_NAMESPACES="team-a, team-b,").namespaces == ("team-a", "team-b")


def test_two_processes_of_one_pod_are_two_candidates() -> None:
    first, second = settings(POD_NAME="operator-0"), settings(POD_NAME="operator-0")
    assert first.identity.startswith("operator-0_")
    assert first.identity != second.identity


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--http-port=none", "--http-port takes a number from 0 to 65535, not 'none'"),
        ("--resync-seconds=1", "--resync-seconds takes a number from 10 to 86400, not '1'"),
        ("--log-level=loud", "--log-level takes one of DEBUG, INFO, WARNING, ERROR, not 'loud'"),
    ],
)
def test_a_wrong_value_is_refused_with_what_the_flag_takes(flag: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(flag)


def test_an_operator_without_images_does_not_start() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, {})
    with pytest.raises(SystemExit):
        parser.parse_args([])
