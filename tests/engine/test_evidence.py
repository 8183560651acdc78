"""The termination message: tells what broke, never what users said, in 2 KiB."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluicegate_engine.evidence import LIMIT_BYTES, Evidence, write_statement
from sluicegate_engine.fatal import FatalError
from sluicegate_engine.journal import START

SECRET = "my-secret-prompt"
NAME = "MySecretError"
INSTALLED = json.__file__
DIED = FatalError("EngineDied", "vLLM (pid 7) exited with code 1 while Loading")


def feed(evidence: Evidence, text: str) -> None:
    for line in text.splitlines():
        evidence.add(line)


def last_lines(evidence: Evidence) -> list[str]:
    lines: list[str] = json.loads(evidence.statement(DIED))["lastLines"]
    return lines


def test_before_users_arrive_lines_are_kept_without_their_log_prefix() -> None:
    evidence = Evidence()
    feed(evidence, "(EngineCore pid=20573) ERROR 11-23 02:52:56 [core.py:1000] no such thing as int5")
    assert last_lines(evidence) == ["no such thing as int5"]


def test_the_first_exception_is_the_cause() -> None:
    evidence = Evidence()
    feed(evidence, "ValueError: head size 9\nRuntimeError: Engine core initialization failed.")
    assert evidence.cause == "ValueError: head size 9"


def test_the_cause_of_a_validation_error_is_on_its_next_line() -> None:
    evidence = Evidence()
    feed(
        evidence,
        "pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, too long\nx",
    )
    assert evidence.cause == (
        "pydantic_core.ValidationError: 1 validation error for ModelConfig: Value error, too long"
    )


def test_once_users_arrive_a_traceback_keeps_its_places_and_class_but_no_message() -> None:
    evidence = Evidence()
    evidence.users_arrive()
    feed(
        evidence,
        f"""
(EngineCore pid=20573) ERROR 11-23 02:52:56 [core.py:1000] bad input: {SECRET}
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "{INSTALLED}", line 1702, in _handle
(APIServer pid=1)     raise ValueError("{SECRET}")
(APIServer pid=1) pkg.errors.EngineDeadError: {SECRET}
{SECRET}
ValueError {SECRET}
{{"prompt": "{SECRET}", "File": 1}}
Fatal Python error: Segmentation fault
""",
    )
    assert SECRET not in evidence.statement(DIED)
    assert last_lines(evidence) == [
        f'File "{INSTALLED}", line 1702',
        "pkg.errors.EngineDeadError",
        "Fatal Python error: Segmentation fault",
    ]


def test_lines_of_requests_are_no_last_words_and_part_no_traceback() -> None:
    line = START + ',"outcome":"rejected"}'
    evidence = Evidence()
    feed(evidence, "\n".join([line] * 30))
    assert (last_lines(evidence), evidence.cause) == ([], "")
    evidence.users_arrive()
    feed(evidence, f'  File "{INSTALLED}", line 3, in f\n{line}\npkg.EngineDeadError: x')
    assert last_lines(evidence) == [f'File "{INSTALLED}", line 3', "pkg.EngineDeadError"]


@pytest.mark.parametrize(
    "prompt",
    [
        f'File "/home/{SECRET}/app.py", line 3, in {SECRET}',
        f'  File "/home/me/app.py", line 3, in f\n    {SECRET}()\n{NAME}: x',
        f'  File "{Path(INSTALLED).parent}/{SECRET}.py", line 3, in f\n{NAME}: x',
        f'  File "{INSTALLED}", line 3, in {SECRET}',
        f'  File "{INSTALLED}", line 3, in f\n{SECRET}\n{NAME}: x',
        f"{NAME}: x",
        f"Fatal Python error: {NAME}",
    ],
)
@pytest.mark.parametrize("log", ["", "(APIServer pid=1) ERROR 11-23 02:52:56 [serving.py:1] "])
def test_a_prompt_that_holds_a_traceback_is_not_told(prompt: str, log: str) -> None:
    evidence = Evidence()
    evidence.users_arrive()
    feed(evidence, "\n".join(log + line for line in f"the prompt was\n{prompt}".splitlines()))
    said = evidence.statement(DIED)
    assert SECRET not in said
    assert NAME not in said


def test_the_statement_fits_and_keeps_the_latest_lines() -> None:
    evidence = Evidence()
    for n in range(100):
        evidence.add(f"line {n} " + "é" * 400)
    text = evidence.statement(FatalError("EngineDied", "m" * 5000))
    assert len(text.encode()) <= LIMIT_BYTES
    told = json.loads(text)
    assert told["error"]["reason"] == "EngineDied"
    evidence.add("the end")
    assert last_lines(evidence)[-1] == "the end"


def test_an_unwritable_termination_log_is_reported_not_raised(tmp_path: Path) -> None:
    assert write_statement(tmp_path / "log", "{}")
    assert not write_statement(tmp_path / "missing" / "log", "{}")


def test_without_an_exception_the_last_line_is_the_cause() -> None:
    evidence = Evidence()
    assert evidence.cause == ""
    evidence.add("usage: api_server.py [-h]")
    evidence.add("api_server.py: error: argument --seed: invalid int value: 'many'")
    assert evidence.cause == "api_server.py: error: argument --seed: invalid int value: 'many'"
