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
    run.add_argument("--pointer", type=Path, required=True, help="pointer.json: which model to serve")
    run.add_argument("--models", type=Path, required=True, help="root of the store's layout")
    run.add_argument("--served-model-name", required=True, help="model name that clients use")
    run.add_argument("--host", default="0.0.0.0", help="address to listen at")
    run.add_argument("--serving-port", type=int, default=8000, help="vLLM's port")
    run.add_argument("--probe-port", type=int, default=9400, help="port of /ready, /livez and /metrics")
    run.add_argument("--control-port", type=int, default=9401, help="port of /status, /drain and /reload")
    run.add_argument(
        "--control-token-file", type=Path, required=True, help="bearer token of the control port"
    )
    run.add_argument("--max-concurrent", type=_positive, required=True, help="sequences in vLLM at a time")
    run.add_argument("--max-queued", type=_natural, required=True, help="requests waiting; 429 beyond")
    run.add_argument(
        "--max-queued-prompt-tokens",
        type=_positive,
        help="prompt tokens of those waiting, as estimated; 429 beyond. Left out, only requests are counted",
    )
    run.add_argument("--drain-seconds", type=float, default=60, help="time for requests in flight to finish")
    run.add_argument("--linger-seconds", type=float, default=5, help="time to serve on once not ready")
    run.add_argument(
        "--stop-seconds", type=float, default=10, help="time for vLLM to end before it is killed"
    )
    run.add_argument(
        "--hold-seconds", type=float, default=30, help="time a reload may hold new requests; 503 beyond"
    )
    run.add_argument(
        "--doubt-seconds", type=float, default=10, help="time without progress until a token is asked for"
    )
    run.add_argument(
        "--stuck-seconds", type=float, default=25, help="time without progress that ends the container"
    )
    run.add_argument(
        "--first-answer-seconds",
        type=float,
        default=180,
        help="the same while the first requests are answered, for which the engine may compile",
    )
    run.add_argument("--store-url", default="http://127.0.0.1:9403", help="where the store takes orders")
    run.add_argument(
        "--record",
        type=Path,
        default=Path("/tmp/sluicegate-committed.json"),
        help="file of what reloads committed; has to outlive the container, not the pod",
    )
    run.add_argument(
        "--quarantine-record",
        type=Path,
        default=Path("/tmp/sluicegate-quarantine.json"),
        help="file of the requests that engines died with; has to outlive the container, not the pod",
    )
    run.add_argument(
        "--quarantine-seconds",
        type=float,
        default=600,
        help="time that engines are up without a request that is quarantined, until it may be tried again",
    )
    run.add_argument(
        "--termination-log", type=Path, default=Path("/dev/termination-log"), help="file for the last words"
    )
    run.add_argument(
        "--request-log",
        choices=("enabled", "disabled"),
        default="enabled",
        help="whether each generation request leaves a line in the log",
    )
    run.add_argument(
        "--engine-module", default="vllm.entrypoints.openai.api_server", help="Python module of the server"
    )
    run.add_argument(
        "--worker-extension",
        default="sluicegate_engine.reload.worker.ReloadExtension",
        help="Python class of what reloads do in vLLM's workers",
    )
    return parser


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _natural(text: str) -> int:
    if int(text) < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return int(text)
