-- The first schema. Times are microseconds since the epoch, documents are JSON text, ids are their text form.
-- Absent on purpose: triggers (what happens is in the verbs) and generated columns.

-- Counters handed out inside transactions. A counter's row is locked until commit, so its numbers rise in the
-- order of commits and have no gaps: a reader of the event stream can never miss one that commits late.
CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT;
INSERT INTO counters (name, value) VALUES ('events', 0);

-- The row the write probe writes.
CREATE TABLE probes (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;

-- Workflow versions by content. The tenant is the first that brought it.
CREATE TABLE workflows (
    digest TEXT NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    tenant TEXT NOT NULL,
    doc    TEXT NOT NULL
) STRICT;

-- Runs. `source` never changes, `head` is what the run machine changes, every other mutable column is a copy of
-- something in them that lists, counts and filters need.
CREATE TABLE runs (
    id            TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 30),
    tenant        TEXT    NOT NULL,
    digest        TEXT    NOT NULL REFERENCES workflows (digest),
    workflow      TEXT    NOT NULL,
    project       TEXT    NOT NULL,
    commit_id     TEXT,
    actor         TEXT    NOT NULL,
    affinity      TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    source        TEXT    NOT NULL,
    head          TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'canceled')),
    outcome       TEXT    CHECK (outcome IN ('passed', 'repaired', 'failed', 'budget_exceeded', 'canceled')),
    canceling     INTEGER NOT NULL CHECK (canceling IN (0, 1)),
    started_at    INTEGER,
    finished_at   INTEGER,
    duration_ms   INTEGER CHECK (duration_ms >= 0),
    cost_microusd INTEGER NOT NULL CHECK (cost_microusd >= 0),
    kind          TEXT,
    class         TEXT,
    summary       TEXT,
    cells         TEXT    NOT NULL,
    patches       INTEGER NOT NULL CHECK (patches >= 0),
    search        TEXT    NOT NULL,
    CHECK ((outcome IS NULL) = (state IN ('pending', 'running'))),
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
) STRICT;
CREATE INDEX runs_list ON runs (tenant, created_at DESC, id DESC);
CREATE INDEX runs_state ON runs (tenant, state);
CREATE INDEX runs_affinity ON runs (affinity) WHERE affinity <> '' AND outcome IS NULL;

-- One row per key a client chose for a creation, so that asking again finds the first run.
CREATE TABLE idempotency (
    tenant     TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;

CREATE TABLE steps (
    run      TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name     TEXT    NOT NULL,
    tenant   TEXT    NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 0),
    state    TEXT    NOT NULL
        CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'skipped', 'canceled')),
    doc      TEXT    NOT NULL,
    PRIMARY KEY (run, name),
    UNIQUE (run, position)
) STRICT;

-- The key is the place of the attempt: none can be recorded twice.
CREATE TABLE attempts (
    run    TEXT    NOT NULL,
    step   TEXT    NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    tenant TEXT    NOT NULL,
    state  TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    doc    TEXT    NOT NULL,
    PRIMARY KEY (run, step, number),
    FOREIGN KEY (run, step) REFERENCES steps (run, name) ON DELETE CASCADE
) STRICT;

-- The same for repairs.
CREATE TABLE repairs (
    run    TEXT    NOT NULL,
    step   TEXT    NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    tenant TEXT    NOT NULL,
    state  TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    doc    TEXT    NOT NULL,
    PRIMARY KEY (run, step, number),
    FOREIGN KEY (run, step) REFERENCES steps (run, name) ON DELETE CASCADE
) STRICT;

-- The queue. A task is named by its run and its work; `affinity` is a copy of the run's, '' for none.
CREATE TABLE tasks (
    run         TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    work        TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    class       TEXT    NOT NULL CHECK (class IN ('cpu', 'io', 'llm')),
    affinity    TEXT    NOT NULL,
    ready_at    INTEGER NOT NULL,
    fence       INTEGER NOT NULL CHECK (fence >= 0),
    worker      TEXT,
    lease_until INTEGER,
    interrupt   INTEGER NOT NULL CHECK (interrupt IN (0, 1)),
    PRIMARY KEY (run, work),
    CHECK ((worker IS NULL) = (lease_until IS NULL)),
    CHECK (worker IS NULL OR fence >= 1)
) STRICT;
CREATE INDEX tasks_ready ON tasks (affinity, class, ready_at, run, work) WHERE worker IS NULL;
CREATE INDEX tasks_leased ON tasks (lease_until) WHERE worker IS NOT NULL;
CREATE INDEX tasks_worker ON tasks (worker) WHERE worker IS NOT NULL;

CREATE TABLE events (
    seq    INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 1),
    tenant TEXT    NOT NULL,
    run    TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL,
    event  TEXT    NOT NULL,
    step   TEXT,
    doc    TEXT    NOT NULL
) STRICT;
CREATE INDEX events_run ON events (run, seq);
CREATE INDEX events_tenant ON events (tenant, seq);

-- Differences by content. Bytes, because a difference may hold what a text column cannot.
CREATE TABLE patches (
    digest     TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    diff       BLOB    NOT NULL
) STRICT;

-- Processes, not tenants': a worker serves them all.
CREATE TABLE workers (
    id         TEXT    NOT NULL PRIMARY KEY,
    node       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT    NOT NULL,
    roles      TEXT    NOT NULL,
    slots      TEXT    NOT NULL,
    affinity   TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    state      TEXT    NOT NULL
) STRICT;
CREATE INDEX workers_node ON workers (node);

CREATE TABLE tokens (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX tokens_tenant ON tokens (tenant, created_at);

-- One-time links, and the sessions they turn into. A login has no tenant yet.
CREATE TABLE logins (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    tenant     TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
