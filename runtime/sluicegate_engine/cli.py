"""The command line of the engine container: sluicegate-engine run."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sluicegate_engine.settings import Settings
from sluicegate_engine.supervisor import Supervisor


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run to the end and return the exit code. Flags after "--" are vLLM's."""
    settings = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s sluicegate-engine: %(message)s",
    )
    return asyncio.run(_run(settings))


def parse(arguments: Sequence[str]) -> Settings:
    """Read the command line. Exits with a usage message where it is wrong."""
    given = list(arguments)
    place = given.index("--") if "--" in given else len(given)
    parser = _parser()
    values = vars(parser.parse_args(given[:place]))
    del values["command"]
    if values["doubt_seconds"] >= values["stuck_seconds"]:
        parser.error("--doubt-seconds must be less than --stuck-seconds")
    values["request_log"] = values["request_log"] == "enabled"
    return Settings(**values, engine_flags=tuple(given[place + 1 :]))


async def _run(settings: Settings) -> int:
    return await Supervisor(settings, lambda: datetime.now(UTC)).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluicegate-engine", description="Runs vLLM in a model pod.", allow_abbrev=False
    )
    run = parser.add_subparsers(dest="command", required=True).add_parser(
        "run",
        help="supervise vLLM until SIGTERM",
        usage="%(prog)s [options] -- [vLLM flags]",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    _add_model(run.add_argument_group("model"))
    _add_addresses(run.add_argument_group("addresses"))
    _add_bounds(run.add_argument_group("requests at a time"))
    _add_times(run.add_argument_group("times"))
    _add_records(run.add_argument_group("what is left on record"))
    _add_engine(run.add_argument_group("engine"))
    return parser


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--pointer", type=Path, required=True, help="pointer.json: which model to serve")
    group.add_argument("--models", type=Path, required=True, help="root of the store's layout")
    group.add_argument("--served-model-name", required=True, help="model name that clients use")
    group.add_argument("--store-url", default="http://127.0.0.1:9403", help="where the store takes orders")


def _add_addresses(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="0.0.0.0", help="address to listen at")
    group.add_argument("--serving-port", type=int, default=8000, help="vLLM's port")
    group.add_argument("--probe-port", type=int, default=9400, help="port of /ready, /livez and /metrics")
    group.add_argument("--control-port", type=int, default=9401, help="port of /status, /drain and /reload")
    group.add_argument(
        "--control-token-file", type=Path, required=True, help="bearer token of the control port"
    )


def _add_bounds(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--max-concurrent", type=_positive, required=True, help="sequences in vLLM at a time")
    group.add_argument("--max-queued", type=_natural, required=True, help="requests waiting; 429 beyond")
    group.add_argument(
        "--max-queued-prompt-tokens",
        type=_positive,
        help="prompt tokens of those waiting, as estimated; 429 beyond. Left out, only requests are counted",
    )


def _add_times(group: argparse._ArgumentGroup) -> None:
    for flag, seconds, help in (
        ("--drain-seconds", 60, "for requests in flight to finish"),
        ("--linger-seconds", 5, "to serve on once not ready"),
        ("--stop-seconds", 10, "for vLLM to end before it is killed"),
        ("--hold-seconds", 30, "a reload may hold new requests; 503 beyond"),
        ("--doubt-seconds", 10, "without progress until a token is asked for"),
        ("--stuck-seconds", 25, "without progress that ends the container"),
        (
            "--first-answer-seconds",
            180,
            "without progress that ends it while the first requests are answered, for the engine may compile",
        ),
        (
            "--quarantine-seconds",
            600,
            "that engines are up without a request that is quarantined, until it may be tried again",
        ),
    ):
        group.add_argument(flag, type=float, default=seconds, help=f"time {help}")


def _add_records(group: argparse._ArgumentGroup) -> None:
    for flag, file, help in (
        (
            "--record",
            "/tmp/sluicegate-committed.json",
            "file of what reloads committed; has to outlive the container, not the pod",
        ),
        (
            "--quarantine-record",
            "/tmp/sluicegate-quarantine.json",
            "file of the requests that engines died with; has to outlive the container, not the pod",
        ),
        ("--termination-log", "/dev/termination-log", "file for the last words"),
    ):
        group.add_argument(flag, type=Path, default=Path(file), help=help)
    group.add_argument(
        "--request-log",
        choices=("enabled", "disabled"),
        default="enabled",
        help="whether each generation request leaves a line in the log",
    )


def _add_engine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--engine-module", default="vllm.entrypoints.openai.api_server", help="Python module of the server"
    )
    group.add_argument(
        "--worker-extension",
        default="sluicegate_engine.reload.worker.ReloadExtension",
        help="Python class of what reloads do in vLLM's workers",
    )


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _natural(text: str) -> int:
    if int(text) < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return int(text)
