"""`python -m bench [NAME ...] [--rounds N] [--shape NAME] [--json]`: the names are the keys of `BENCHES`."""

from __future__ import annotations

import argparse
import json
import sys

from bench import (
    assembly,
    classify,
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
    spool,
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
}


def main() -> None:
    """Run the benches asked for, all by default, and print a table for each."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure against peers, side by side."
    )
    parser.add_argument("bench", nargs="*", help=f"any of: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", action="append", choices=list(SHAPES), default=[])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    unknown = set(arguments.bench) - set(BENCHES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    results = {
        name: BENCHES[name].run(arguments.rounds, arguments.shape)
        for name in arguments.bench or list(BENCHES)
    }
    if arguments.json:
        sys.stdout.write(json.dumps(results) + "\n")
        return
    for name, result in results.items():
        sys.stdout.write(f"\n## {name}\n\n{BENCHES[name].as_table(result)}\n")


if __name__ == "__main__":
    main()
