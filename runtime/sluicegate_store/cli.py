"""The command `sluicegate-store`: `inspect` runs in a Job, `serve` as the sidecar of a model pod."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sluicegate_store.errors import Reason, StoreError, volume_errors
from sluicegate_store.ingest import SourceSettings, open_source
from sluicegate_store.inspection import inspect
from sluicegate_store.layout import Store
from sluicegate_store.manifest import DIGEST
from sluicegate_store.progress import Progress
from sluicegate_store.report import encode, error_document, leave
from sluicegate_store.sidecar import TOKEN_VARIABLE, Sidecar, serve

TERMINATION_LOG = Path("/dev/termination-log")
LINE_EVERY_SECONDS = 2.0
_LOG = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 1 refused (the JSON says why), 2 wrong usage."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    if options.termination_log is None and TERMINATION_LOG.exists():
        options.termination_log = TERMINATION_LOG
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except StoreError as error:
        return _refuse(error, options.termination_log)
    except Exception as error:
        # foreign input may trip over what nobody has thought of: that too ends in a reason
        _LOG.exception("unexpected")
        said = (
            f"an unexpected {type(error).__name__}, which is a defect; see the container's log and report it"
        )
        return _refuse(StoreError(Reason.STORE_FAILED, said), options.termination_log)
    return 0


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(message)s")
    logging.getLogger("sluicegate_store").setLevel(logging.INFO)
    # it logs the addresses it downloads from, which for large files are signed
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sluicegate-store", description=__doc__)
    commands = parser.add_subparsers(required=True)
    looks = commands.add_parser("inspect", help="read a whole source and print what it holds")
    looks.set_defaults(command=_inspect)
    looks.add_argument(
        "--source", required=True, metavar="URI", help="pvc://claim/path or hf://org/name@commit"
    )
    looks.add_argument("--endpoint", metavar="URL", help="the hub's address; default: the library's")
    looks.add_argument("--expect", type=_digest, metavar="DIGEST", help="refuse a model that is not this one")
    looks.add_argument(
        "--scratch",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="folder for downloads and conversions",
    )
    stays = commands.add_parser("serve", help="fill a store from a pointer, then answer /ready")
    stays.set_defaults(command=_serve)
    stays.add_argument("--pointer", required=True, type=Path, metavar="FILE")
    stays.add_argument("--root", required=True, type=Path, help="the store's volume")
    stays.add_argument("--host", default="0.0.0.0", help="address of the probe port")
    stays.add_argument("--port", type=int, default=9402, help="probe port")
    stays.add_argument(
        "--orders-port", type=int, default=9403, help="port on loopback for the engine's orders"
    )
    for command in (looks, stays):
        command.add_argument(
            "--sources", type=Path, default=Path("/sources"), help="where claims are mounted"
        )
        command.add_argument("--termination-log", type=Path, metavar="FILE")
    return parser


def _digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError("a digest is sha256: and 64 lower-case hex digits")
    return text


def _give_the_hub_library_a_home(writable: Path) -> None:
    # it puts its caches under HOME, which is read-only in a pod
    os.environ.setdefault("HF_HOME", str(writable / "hub-home"))


def _inspect(options: argparse.Namespace) -> None:
    # PID 1 of a container ignores a signal without a handler; by an exception, so that scratch space is freed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    progress = Progress(_lines_to_stderr(time.monotonic))
    _give_the_hub_library_a_home(options.scratch)
    settings = SourceSettings(options.sources, os.environ.get(TOKEN_VARIABLE) or None)
    with volume_errors():
        source = open_source(options.source, options.endpoint, settings)
    document = inspect(source, options.source, options.expect, options.scratch, progress).body()
    print(encode(document).decode())
    leave(document, options.termination_log)


def _serve(options: argparse.Namespace) -> None:
    # by no exception: a copy under way would be waited for, and needs no care (see layout)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with volume_errors():
        store = Store(options.root)
    _give_the_hub_library_a_home(store.root / "incoming")
    sidecar = Sidecar(store, options.pointer, options.sources, os.environ)
    asyncio.run(serve(sidecar, options.host, options.port, options.orders_port))


def _refuse(error: StoreError, termination_log: Path | None) -> int:
    document = error_document(error.body())
    print(encode(document).decode())
    leave(document, termination_log)
    return 1


def _lines_to_stderr(clock: Callable[[], float]) -> Callable[[Progress], None]:
    """An observer that prints a line for each phase and every few seconds within one."""
    phase, due = "", 0.0

    def show(progress: Progress) -> None:
        nonlocal phase, due
        if progress.phase == phase and clock() < due:
            return
        phase, due = progress.phase, clock() + LINE_EVERY_SECONDS
        print(f"{phase}: {progress.bytes_done:,} of {progress.bytes_total:,} bytes", file=sys.stderr)

    return show


if __name__ == "__main__":
    raise SystemExit(main())
