"""One way to fetch a study, once, in a process of its own: `python -m bench.clients NAME URL STUDY`.

Prints what it took as JSON. Each begins with the study's UID, so the clients by instance search first.
Imports come before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
import requests.adapters
import urllib3

from bench.candidates import cpu_seconds, memory_bytes, peak_bytes
from ponte.dicomweb import ACCEPT_INSTANCES, DicomWebSource
from ponte.multipart import PartLimits, boundary_of, iterate_parts
from render.allocator import keep_freed_memory

THREADS = 4
CHUNK = 1 << 18
ACCEPT_DEFAULT = 'multipart/related; type="application/dicom"'
LIMITS = PartLimits(4 << 30, 100 << 30, 20_000)
Client = Callable[[], Iterator[int]]
"""Fetches when called, and yields the size of each instance."""


def ours(url: str, study: str) -> Client:
    """One streamed request for the study, with the memory allocator set as the worker sets it."""
    keep_freed_memory()
    source = DicomWebSource(url)
    return lambda: (len(fetched.data) for fetched in source.instances(study))


def unread(url: str, study: str, accept: str = ACCEPT_INSTANCES) -> Client:
    """The same request, its answer thrown away: what the server and the sockets take alone."""
    pool = urllib3.PoolManager()

    def fetch() -> Iterator[int]:
        address = f"{url}/studies/{study}"
        with pool.request("GET", address, headers={"Accept": accept}, preload_content=False) as answer:
            yield sum(len(chunk) for chunk in answer.stream(CHUNK))

    return fetch


def transcoded(url: str, study: str) -> Client:
    """As `unread`, without a word on the transfer syntax: the server may make Explicit VR of everything."""
    return unread(url, study, ACCEPT_DEFAULT)


def by_urllib3(url: str, study: str) -> Client:
    """A request for each instance, in threads, by urllib3."""
    pool = urllib3.PoolManager(maxsize=THREADS)

    def get(address: str) -> tuple[str, bytes]:
        answer = pool.request("GET", address, headers={"Accept": ACCEPT_INSTANCES})
        return answer.headers["Content-Type"], answer.data

    return _each(url, study, get)


def by_requests(url: str, study: str) -> Client:
    """A request for each instance, in threads, by requests."""
    session = requests.Session()
    session.trust_env = False  # no search for proxies and passwords at each request
    session.headers["Accept-Encoding"] = "identity"  # Orthanc would deflate pixels
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))

    def get(address: str) -> tuple[str, bytes]:
        answer = session.get(address, headers={"Accept": ACCEPT_INSTANCES}, timeout=60)
        return answer.headers["Content-Type"], answer.content

    return _each(url, study, get)


def _each(url: str, study: str, get: Callable[[str], tuple[str, bytes]]) -> Client:
    def fetch() -> Iterator[int]:
        with ThreadPoolExecutor(THREADS) as pool:
            for content_type, body in pool.map(get, _addresses(url, study)):
                yield sum(
                    len(part.data) for part in iterate_parts(iter([body]), boundary_of(content_type), LIMITS)
                )

    return fetch


def _addresses(url: str, study: str) -> Iterator[str]:
    address = f"{url}/studies/{study}/instances"
    rows = urllib3.request("GET", address, headers={"Accept": "application/dicom+json"}).json()
    for row in rows:
        series, instance = row["0020000E"]["Value"][0], row["00080018"]["Value"][0]
        yield f"{url}/studies/{study}/series/{series}/instances/{instance}"


CLIENTS: Mapping[str, Callable[[str, str], Client]] = {
    "ours": ours,
    "unread": unread,
    "transcoded": transcoded,
    "urllib3": by_urllib3,
    "requests": by_requests,
}


def main() -> None:
    """Run what the command line names and print its figures."""
    name, url, study = sys.argv[1:]
    client = CLIENTS[name](url, study)
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark begins anew (proc(5))
    before, began, clock = memory_bytes(), cpu_seconds(), time.perf_counter()
    sizes = list(client())
    figures = {
        "wall": time.perf_counter() - clock,
        "cpu": cpu_seconds() - began,
        "instances": len(sizes),
        "bytes": sum(sizes),
        "memory": peak_bytes() - before,
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
