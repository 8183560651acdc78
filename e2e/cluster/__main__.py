"""`python -m e2e.cluster`: start, look at, reach into and end this checkout's cluster."""

from __future__ import annotations

import argparse
import json
import os
import sys

from e2e.cluster.cluster import Cluster, ClusterError
from e2e.cluster.command import exit_with


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the cluster, or reuse it if it is healthy")
    up.add_argument("--gpus", type=int, help="GPUs that the node pretends to have (8 at a start)")
    commands.add_parser("down", help="end everything and remove every trace but the caches")
    commands.add_parser("status", help="components and what is wrong; exit code 1 if anything is")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    inside = commands.add_parser("exec", help="run a command in the cluster's network")
    inside.add_argument("--node", action="store_true", help="with the node's mounts and processes, too")
    inside.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    for action in ("stop", "start", "restart"):
        one = commands.add_parser(action, help=f"{action} one component")
        one.add_argument("component")
        if action != "start":
            one.add_argument("--signal", default="TERM", help="TERM (default), or KILL for a crash")
    return parser


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    cluster = Cluster()
    match options.command:
        case "up":
            cluster.up(options.gpus)
        case "down":
            cluster.down()
        case "status":
            problem = cluster.problem()
            print(json.dumps({"problem": problem, **(cluster.status() if _is_up(cluster) else {})}, indent=2))
            return 0 if problem is None else 1
        case "kubeconfig":
            print(cluster.kubeconfig)
        case "exec":
            argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
            command = cluster.on_node(argv) if options.node else cluster.inside(argv)
            os.execvpe(command[0], command, {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)})
        case "start":
            cluster.start(options.component)
        case "stop":
            cluster.stop(options.component, options.signal)
        case "restart":
            cluster.restart(options.component, options.signal)
    return 0


def _is_up(cluster: Cluster) -> bool:
    try:
        cluster.pid()
    except ClusterError:
        return False
    return True


if __name__ == "__main__":
    exit_with(lambda: main(sys.argv[1:]))
