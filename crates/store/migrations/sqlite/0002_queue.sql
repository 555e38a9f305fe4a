-- One queue for all work. A task is a row of exactly one of three tables: it waits in `queue`, is held in `leases`, and
-- is a record in `finished` (a run's tasks leave no record there: their attempts are). Moving narrow rows between
-- short tables costs less than changing indexed columns in place, and none of the indexes holds what is over.

CREATE TABLE queue (
    id          TEXT NOT NULL PRIMARY KEY,
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    class       TEXT NOT NULL CHECK (class IN ('cpu', 'io', 'llm', 'custom')),
    priority    TEXT NOT NULL CHECK (priority IN ('high', 'normal', 'low')),
    affinity    TEXT NOT NULL,
    rank        INTEGER NOT NULL,
    ready_at    INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    fence       INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    losses      INTEGER NOT NULL,
    reserved    INTEGER NOT NULL,
    run         TEXT,
    work        TEXT,
    gate        TEXT,
    options     TEXT,
    payload     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('ready', 'delayed', 'blocked')),
    CHECK ((run IS NULL) = (work IS NULL))
) STRICT;
CREATE INDEX queue_ready ON queue (class, affinity, rank) WHERE state = 'ready';
CREATE INDEX queue_delayed ON queue (ready_at) WHERE state = 'delayed';
CREATE INDEX queue_blocked ON queue (tenant, gate, rank) WHERE state = 'blocked';
CREATE UNIQUE INDEX queue_run ON queue (run, work) WHERE run IS NOT NULL;

CREATE TABLE leases (
    id          TEXT NOT NULL PRIMARY KEY,
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    class       TEXT NOT NULL CHECK (class IN ('cpu', 'io', 'llm', 'custom')),
    priority    TEXT NOT NULL CHECK (priority IN ('high', 'normal', 'low')),
    affinity    TEXT NOT NULL,
    rank        INTEGER NOT NULL,
    ready_at    INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    fence       INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    losses      INTEGER NOT NULL,
    reserved    INTEGER NOT NULL,
    run         TEXT,
    work        TEXT,
    gate        TEXT,
    options     TEXT,
    payload     TEXT NOT NULL,
    worker      TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    interrupt   INTEGER NOT NULL CHECK (interrupt IN (0, 1)),
    CHECK ((run IS NULL) = (work IS NULL))
) STRICT;
CREATE INDEX leases_until ON leases (lease_until);
CREATE INDEX leases_interrupted ON leases (worker) WHERE interrupt = 1;
CREATE INDEX leases_gate ON leases (tenant, gate) WHERE gate IS NOT NULL;
CREATE UNIQUE INDEX leases_run ON leases (run, work) WHERE run IS NOT NULL;

CREATE TABLE finished (
    id          TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    class       TEXT NOT NULL,
    priority    TEXT NOT NULL,
    failures    INTEGER NOT NULL,
    losses      INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER NOT NULL,
    worker      TEXT,
    fate        TEXT NOT NULL CHECK (fate IN ('succeeded', 'failed', 'expired', 'quarantined', 'canceled')),
    error       TEXT,
    gate        TEXT,
    options     TEXT,
    payload     TEXT
) STRICT;
CREATE INDEX finished_id ON finished (id);
-- Dead letters keep what it takes to enqueue them again.
CREATE INDEX finished_dead ON finished (tenant, finished_at) WHERE payload IS NOT NULL;

-- Keys of tasks: 'unique' while the task is waiting or leased, 'idempotency' until they are too old.
CREATE TABLE task_keys (
    tenant  TEXT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('unique', 'idempotency')),
    key     TEXT NOT NULL,
    task    TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, key)
) STRICT;
CREATE INDEX task_keys_unique ON task_keys (task) WHERE kind = 'unique';

-- A row for each key of a limit, to be locked by whoever decides about it; `arrival` is the state of a rate.
CREATE TABLE limits (
    tenant  TEXT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('concurrency', 'rate')),
    key     TEXT NOT NULL,
    arrival INTEGER,
    PRIMARY KEY (tenant, kind, key)
) STRICT;

-- What the classes do; no row is 'running'.
CREATE TABLE flows (
    class TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'draining'))
) STRICT;

INSERT INTO queue (id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses,
    reserved, run, work, payload, state)
SELECT 'tsk_0' || lower(substr(hex(randomblob(16)), 1, 25)), tenant, 'run', class, 'normal', affinity, ready_at, ready_at, ready_at, fence, 0, 0, 0, run, work, '{}', 'delayed'
FROM tasks WHERE worker IS NULL;
INSERT INTO leases (id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses,
    reserved, run, work, payload, worker, lease_until, started_at, interrupt)
SELECT 'tsk_0' || lower(substr(hex(randomblob(16)), 1, 25)), tenant, 'run', class, 'normal', affinity, ready_at, ready_at, ready_at, fence, 0, 0, 0, run, work, '{}',
    worker, lease_until, ready_at, interrupt
FROM tasks WHERE worker IS NOT NULL;
DROP TABLE tasks;
