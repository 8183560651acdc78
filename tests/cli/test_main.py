"""The command line's contract: which commands there are, and what their exit codes mean."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from sluicegate import app
from sluicegate.cli import main as cli
from sluicegate.cli.cluster import explained
from sluicegate.cli.command import Exit
from sluicegate.kube.errors import ConfigurationError, Forbidden, Unavailable
from sluicegate.settings import Settings

IMAGES = ["--engine-image-cuda=e", "--engine-image-cpu=e", "--store-image=s"]


def test_every_command_is_there_and_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])

    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert [command.name for command in cli.COMMANDS] == [
        *("run", "crds", "render", "status", "explain", "rollout", "golden", "uninstall")
    ]
    assert all(command.summary in " ".join(told.split()) for command in cli.COMMANDS)


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == Exit.OK
    assert capsys.readouterr().out == f"sluicegate {metadata.version('sluicegate')}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["bogus"],
        ["status"],
        ["status", "x", "--bogus"],
        ["rollout"],
        ["rollout", "bogus"],
        ["rollout", "wait"],
        ["rollout", "wait", "x", "--timeout"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_five(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)

    assert ended.value.code == Exit.USAGE_OR_PERMISSION
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), BrokenPipeError()], ids=repr)
def test_a_command_that_is_ended_from_outside_is_told_from_one_that_failed(
    ended: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(settings: Settings) -> int:
        raise ended

    monkeypatch.setattr(app, "run", run)

    assert cli.main(["run", *IMAGES]) == Exit.INTERRUPTED


def test_crds_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["crds"]) == Exit.OK
    assert cli.main(["crds", "--directory", str(tmp_path / "new")]) == Exit.OK

    printed = capsys.readouterr().out
    assert printed.count("kind: CustomResourceDefinition\n") == 2
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "llmdeployments.sluicegate.dev.yaml",
        "modelversions.sluicegate.dev.yaml",
    ]


def test_a_folder_that_cannot_be_written_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert cli.main(["crds", "--directory", str(tmp_path / "file")]) == Exit.USAGE_OR_PERMISSION
    assert "cannot write into" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["status", "chat", "--kubeconfig", str(tmp_path / "nothing")])

    assert code == Exit.USAGE_OR_PERMISSION
    assert "nothing" in capsys.readouterr().err


def test_run_starts_the_operator_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Settings] = []

    async def start(settings: Settings) -> int:
        started.append(settings)
        return 7

    monkeypatch.setattr(app, "run", start)

    assert cli.main(["run", *IMAGES, "--namespaces=team-a,team-b"]) == 7
    assert started[0].namespaces == ("team-a", "team-b")


def test_a_setting_that_cannot_be_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", *IMAGES, "--http-port=no"]) == Exit.USAGE_OR_PERMISSION
    assert "--http-port takes a number" in capsys.readouterr().err


def test_a_refusal_and_an_unreachable_server_are_told_apart() -> None:
    assert explained(Forbidden(403, "Forbidden", "no")).code == Exit.USAGE_OR_PERMISSION
    assert explained(ConfigurationError("no")).code == Exit.USAGE_OR_PERMISSION
    assert explained(Unavailable(0, "Timeout", "no")).code == Exit.FAILED
