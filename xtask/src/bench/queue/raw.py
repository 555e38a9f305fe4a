"""Rates of SQLite by itself, flushing every commit. Arguments: a file that does not exist yet, seconds."""

import json
import sqlite3
import sys
import time

path, seconds = sys.argv[1], float(sys.argv[2])
PER_CYCLE = 100
PER_INSERT = 1000
store = sqlite3.connect(path, isolation_level=None)
store.execute("pragma journal_mode = wal")
store.execute("pragma synchronous = full")
store.execute(
    "create table task (id integer primary key, state integer not null default 0, run_at integer not null default 0,"
    " worker text, payload text not null)"
)
store.execute("create index ready on task (id) where state = 0")
INSERT = "insert into task (payload) values (?)"
CLAIM = (
    "update task set state = 1, worker = 'w' where id in"
    " (select id from task where state = 0 and run_at <= 1 order by id limit ?) returning id"
)


def rate(step, limit):
    """What a step counts, a second, until the time is up or it has counted that many."""
    counted = 0
    began = time.monotonic()
    while counted < limit and time.monotonic() - began < seconds:
        counted += step()
    return counted / (time.monotonic() - began)


def commit():
    store.execute(INSERT, ('{"i": 1}',))
    return 1


def rows():
    store.execute("begin immediate")
    store.executemany(INSERT, [(f'{{"i": {i}}}',) for i in range(PER_INSERT)])
    store.execute("commit")
    return PER_INSERT


def cycle():
    claimed = [row[0] for row in store.execute(CLAIM, (PER_CYCLE,)).fetchall()]
    store.execute(f"update task set state = 2 where id in ({','.join(map(str, claimed))})")
    return len(claimed)


rates = {"commits": rate(commit, 1_000_000), "rows": rate(rows, 2_000_000)}
waiting = store.execute("select count(*) from task").fetchone()[0]
rates["cycled"] = rate(cycle, waiting)
print(json.dumps(rates))
