-- One queue for all work. A task is a row of exactly one of three tables: it waits in `queue`, is held in `leases`, and
-- is a record in `finished` (a run's tasks leave no record there: their attempts are). Moving narrow rows between
-- short tables costs less than changing indexed columns in place, and none of the indexes holds what is over.

CREATE TABLE queue (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant      TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    class       TEXT COLLATE "C" NOT NULL CHECK (class IN ('cpu', 'io', 'llm', 'custom')),
    priority    TEXT COLLATE "C" NOT NULL CHECK (priority IN ('high', 'normal', 'low')),
    affinity    TEXT COLLATE "C" NOT NULL,
    rank        BIGINT NOT NULL,
    ready_at    BIGINT NOT NULL,
    enqueued_at BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    losses      BIGINT NOT NULL,
    reserved    BIGINT NOT NULL,
    run         TEXT COLLATE "C",
    work        TEXT COLLATE "C",
    gate        TEXT COLLATE "C",
    options     TEXT COLLATE "C",
    payload     TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('ready', 'delayed', 'blocked')),
    CHECK ((run IS NULL) = (work IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_ready ON queue (class, affinity, rank) WHERE state = 'ready';
CREATE INDEX queue_delayed ON queue (ready_at) WHERE state = 'delayed';
CREATE INDEX queue_blocked ON queue (tenant, gate, rank) WHERE state = 'blocked';
CREATE UNIQUE INDEX queue_run ON queue (run, work) WHERE run IS NOT NULL;

CREATE TABLE leases (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant      TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    class       TEXT COLLATE "C" NOT NULL CHECK (class IN ('cpu', 'io', 'llm', 'custom')),
    priority    TEXT COLLATE "C" NOT NULL CHECK (priority IN ('high', 'normal', 'low')),
    affinity    TEXT COLLATE "C" NOT NULL,
    rank        BIGINT NOT NULL,
    ready_at    BIGINT NOT NULL,
    enqueued_at BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    failures    BIGINT NOT NULL,
    losses      BIGINT NOT NULL,
    reserved    BIGINT NOT NULL,
    run         TEXT COLLATE "C",
    work        TEXT COLLATE "C",
    gate        TEXT COLLATE "C",
    options     TEXT COLLATE "C",
    payload     TEXT COLLATE "C" NOT NULL,
    worker      TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    interrupt   BIGINT NOT NULL CHECK (interrupt IN (0, 1)),
    CHECK ((run IS NULL) = (work IS NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX leases_until ON leases (lease_until);
CREATE INDEX leases_interrupted ON leases (worker) WHERE interrupt = 1;
CREATE INDEX leases_gate ON leases (tenant, gate) WHERE gate IS NOT NULL;
CREATE UNIQUE INDEX leases_run ON leases (run, work) WHERE run IS NOT NULL;

-- One partition a day, made ahead and dropped by the policy of retention, so that history costs no vacuum.
CREATE TABLE finished (
    id          TEXT COLLATE "C" NOT NULL,
    tenant      TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    class       TEXT COLLATE "C" NOT NULL,
    priority    TEXT COLLATE "C" NOT NULL,
    failures    BIGINT NOT NULL,
    losses      BIGINT NOT NULL,
    enqueued_at BIGINT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT NOT NULL,
    worker      TEXT COLLATE "C",
    fate        TEXT COLLATE "C" NOT NULL CHECK (fate IN ('succeeded', 'failed', 'expired', 'quarantined', 'canceled')),
    error       TEXT COLLATE "C",
    gate        TEXT COLLATE "C",
    options     TEXT COLLATE "C",
    payload     TEXT COLLATE "C"
) PARTITION BY RANGE (finished_at);
-- What no partition of a day was made for in time.
CREATE TABLE finished_rest PARTITION OF finished DEFAULT;
CREATE INDEX finished_id ON finished (id);
-- Dead letters keep what it takes to enqueue them again.
CREATE INDEX finished_dead ON finished (tenant, finished_at) WHERE payload IS NOT NULL;

-- Keys of tasks: 'unique' while the task is waiting or leased, 'idempotency' until they are too old.
CREATE TABLE task_keys (
    tenant  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL CHECK (kind IN ('unique', 'idempotency')),
    key     TEXT COLLATE "C" NOT NULL,
    task    TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, key)
);
CREATE INDEX task_keys_unique ON task_keys (task) WHERE kind = 'unique';

-- A row for each key of a limit, to be locked by whoever decides about it; `arrival` is the state of a rate.
CREATE TABLE limits (
    tenant  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL CHECK (kind IN ('concurrency', 'rate')),
    key     TEXT COLLATE "C" NOT NULL,
    arrival BIGINT,
    PRIMARY KEY (tenant, kind, key)
);

-- What the classes do; no row is 'running'.
CREATE TABLE flows (
    class TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'paused', 'draining'))
);

INSERT INTO queue (id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses,
    reserved, run, work, payload, state)
SELECT 'tsk_0' || substr(md5(random()::text || run || work), 1, 25), tenant, 'run', class, 'normal', affinity, ready_at, ready_at, ready_at, fence, 0, 0, 0, run, work, '{}', 'delayed'
FROM tasks WHERE worker IS NULL;
INSERT INTO leases (id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses,
    reserved, run, work, payload, worker, lease_until, started_at, interrupt)
SELECT 'tsk_0' || substr(md5(random()::text || run || work), 1, 25), tenant, 'run', class, 'normal', affinity, ready_at, ready_at, ready_at, fence, 0, 0, 0, run, work, '{}',
    worker, lease_until, ready_at, interrupt
FROM tasks WHERE worker IS NOT NULL;
DROP TABLE tasks;
