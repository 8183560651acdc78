"""`python -m e2e.images build`: build what is missing and print the references."""

from __future__ import annotations

import argparse
import json
import sys

from e2e.cluster.command import exit_with
from e2e.cluster.progress import Progress
from e2e.images import ENGINE, SMALL, build


def main(arguments: list[str]) -> int:
    images = {image.key: image for image in (SMALL, ENGINE)}
    parser = argparse.ArgumentParser(prog="python -m e2e.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("build", help="build the images that the registry does not have yet")
    one.add_argument("images", nargs="*", choices=[*images, []], help="small, engine; default: both")
    one.add_argument("--json", action="store_true", help='print {"small": reference, "engine": reference}')
    options = parser.parse_args(arguments)
    wanted = [images[key] for key in options.images or images]
    references = build(wanted, Progress())
    print(json.dumps(references) if options.json else "\n".join(references.values()))
    return 0


if __name__ == "__main__":
    exit_with(lambda: main(sys.argv[1:]))
