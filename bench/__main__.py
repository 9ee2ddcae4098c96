"""`python -m bench [NAME ...] [--rounds N] [--shape NAME] [--json]`: the names are the keys of `BENCHES`.

`soak` runs when it is named, with `--instances` and `--kills` of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bench import (
    assembly,
    classify,
    dashboard,
    fetch,
    forward,
    imports,
    ingest,
    load,
    memory,
    organise,
    receive,
    render,
    scan,
    send,
    soak,
    spool,
    views,
    whole_job,
)
from bench.shapes import SHAPES

BENCHES = {
    "render": render,
    "whole_job": whole_job,
    "assembly": assembly,
    "memory": memory,
    "fetch": fetch,
    "imports": imports,
    "scan": scan,
    "ingest": ingest,
    "send": send,
    "receive": receive,
    "load": load,
    "spool": spool,
    "classify": classify,
    "organise": organise,
    "forward": forward,
    "dashboard": dashboard,
    "soak": soak,
    "views": views,
}
ON_REQUEST = frozenset({"soak"})


def main() -> None:
    """Run the benches asked for, all by default, and print a table for each."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure against peers, side by side."
    )
    parser.add_argument("bench", nargs="*", help=f"any of: {', '.join(BENCHES)} (default: all but soak)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", action="append", choices=list(SHAPES), default=[])
    parser.add_argument("--instances", type=int, default=soak.INSTANCES, help="of the soak")
    parser.add_argument("--kills", type=int, default=soak.KILLS, help="of the router, in the soak")
    parser.add_argument("--processes", type=int, default=1, help="that receive, in the soak")
    parser.add_argument("--seed", type=int, default=1, help="of the soak")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    unknown = set(arguments.bench) - set(BENCHES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    names = arguments.bench or [name for name in BENCHES if name not in ON_REQUEST]
    results = {name: _run(name, arguments) for name in names}
    if arguments.json:
        sys.stdout.write(json.dumps(results) + "\n")
        return
    for name, result in results.items():
        sys.stdout.write(f"\n## {name}\n\n{BENCHES[name].as_table(result)}\n")


def _run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    if name != "soak":
        found: dict[str, Any] = BENCHES[name].run(arguments.rounds, arguments.shape)
        return found
    return soak.run(
        arguments.rounds,
        arguments.shape,
        instances=arguments.instances,
        kills=arguments.kills,
        processes=arguments.processes,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
