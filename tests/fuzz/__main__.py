"""`python -m tests.fuzz --count 200000 --seed 7` follows generated custom resources to their rest.

With `--api-server` a real API server judges each of them first, beside the operator's models. A failure
prints the smallest such object and the line that tries it again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e.cluster import api_server
from tests.contract.run import until_served
from tests.fuzz.coverage import Coverage
from tests.fuzz.journeys import follow
from tests.fuzz.server import Server, all_of, judge
from tests.fuzz.specs import sample

from sluicegate.api.crdgen import crds
from sluicegate.kube.client import Client
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION

TELL_EVERY = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="number of objects (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="others for another one (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first object")
    parser.add_argument("--api-server", action="store_true", help="ask a real API server too")
    args = parser.parse_args()
    begun = time.monotonic()

    def tell(number: int) -> None:
        done = number - args.first
        if done and done % TELL_EVERY == 0:
            say(f"{done} of {args.count}, {time.monotonic() - begun:.0f} s")

    if args.api_server:
        verdicts = judged(args.seed, args.first, args.count)
        say(f"API server and models agree: {verdicts[True]} accepted, {verdicts[False]} refused")
    outcomes = follow(args.seed, args.first, args.count, tell)
    for (kind, end), count in sorted(outcomes.items()):
        say(f"{kind} {end}: {count}")
    say(f"16 CR fuzz: {outcomes.total()} runs in {time.monotonic() - begun:.0f} s")


def judged(seed: int, first: int, count: int) -> dict[bool, int]:
    with TemporaryDirectory() as folder, api_server(Path(folder)) as server:
        return asyncio.run(_judged(str(server.kubeconfig), seed, range(first, first + count)))


async def _judged(kubeconfig: str, seed: int, numbers: range) -> dict[bool, int]:
    coverage = Coverage()
    async with await Client.from_environment(kubeconfig) as client:
        for crd in crds():
            await client.apply(crd, "fuzz", force=True)
        await until_served(client, LLM_DEPLOYMENT, MODEL_VERSION)
        server = Server(client, "default")

        async def ask(number: int) -> None:
            await judge(server, sample(seed, number), coverage)

        await all_of(numbers, ask)
    return coverage.verdicts


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
