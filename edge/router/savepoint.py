"""Changes of rows by those who work beside the receiving, and share its commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from router.committer import Committer
from router.database import Database
from router.failpoint import failpoint


def run_apart[T](committer: Committer, apply: Callable[[Database], T]) -> T:
    """`Committer.run`, where `apply` fails alone: what it raises undoes its own changes and nobody else's.

    Without this an error of ours would refuse what modalities send at that moment. What SQLite raises of the
    disk concerns all, and goes to all. Raises `NotCommitted` and whatever `apply` raises.
    """
    results: list[T] = []
    failures: list[Exception] = []

    def guarded(database: Database) -> None:
        results.clear()
        failures.clear()
        database.run("SAVEPOINT apart")
        try:
            results.append(apply(database))
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                raise
            database.run("ROLLBACK TO apart")
            failures.append(error)
        database.run("RELEASE apart")

    committer.run(guarded)
    failpoint("changed")
    if failures:
        raise failures[0]
    return results[0]
