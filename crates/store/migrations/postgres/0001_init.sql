-- The first schema. Times are microseconds since the epoch, documents are JSONB, ids are their text form.
-- Absent on purpose: triggers (what happens is in the verbs) and generated columns.

-- Counters handed out inside transactions. A counter's row is locked until commit, so its numbers rise in the
-- order of commits and have no gaps: a reader of the event stream can never miss one that commits late.
CREATE TABLE counters (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL CHECK (value >= 0)
);
INSERT INTO counters (name, value) VALUES ('events', 0);

-- The row the write probe writes.
CREATE TABLE probes (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    at BIGINT NOT NULL
);

-- Workflow versions by content. The tenant is the first that brought it.
CREATE TABLE workflows (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    tenant TEXT COLLATE "C" NOT NULL,
    doc    JSONB NOT NULL
);

-- Runs. `source` never changes, `head` is what the run machine changes, every other mutable column is a copy of
-- something in them that lists, counts and filters need.
CREATE TABLE runs (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 30),
    tenant        TEXT COLLATE "C" NOT NULL,
    digest        TEXT COLLATE "C" NOT NULL REFERENCES workflows (digest),
    workflow      TEXT COLLATE "C" NOT NULL,
    project       TEXT COLLATE "C" NOT NULL,
    commit_id     TEXT COLLATE "C",
    actor         TEXT COLLATE "C" NOT NULL,
    affinity      TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    source        JSONB NOT NULL,
    head          JSONB NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'canceled')),
    outcome       TEXT COLLATE "C" CHECK (outcome IN ('passed', 'repaired', 'failed', 'budget_exceeded', 'canceled')),
    canceling     BIGINT NOT NULL CHECK (canceling IN (0, 1)),
    started_at    BIGINT,
    finished_at   BIGINT,
    duration_ms   BIGINT CHECK (duration_ms >= 0),
    cost_microusd BIGINT NOT NULL CHECK (cost_microusd >= 0),
    kind          TEXT COLLATE "C",
    class         TEXT COLLATE "C",
    summary       TEXT COLLATE "C",
    cells         JSONB NOT NULL,
    patches       BIGINT NOT NULL CHECK (patches >= 0),
    search        TEXT COLLATE "C" NOT NULL,
    CHECK ((outcome IS NULL) = (state IN ('pending', 'running'))),
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
CREATE INDEX runs_list ON runs (tenant, created_at DESC, id DESC);
CREATE INDEX runs_state ON runs (tenant, state);
CREATE INDEX runs_affinity ON runs (affinity) WHERE affinity <> '' AND outcome IS NULL;

-- One row per key a client chose for a creation, so that asking again finds the first run.
CREATE TABLE idempotency (
    tenant     TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    run        TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE TABLE steps (
    run      TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name     TEXT COLLATE "C" NOT NULL,
    tenant   TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL CHECK (position >= 0),
    state    TEXT COLLATE "C" NOT NULL
        CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'skipped', 'canceled')),
    doc      JSONB NOT NULL,
    PRIMARY KEY (run, name),
    UNIQUE (run, position)
);

-- The key is the place of the attempt: none can be recorded twice.
CREATE TABLE attempts (
    run    TEXT COLLATE "C" NOT NULL,
    step   TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL CHECK (number >= 1),
    tenant TEXT COLLATE "C" NOT NULL,
    state  TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    doc    JSONB NOT NULL,
    PRIMARY KEY (run, step, number),
    FOREIGN KEY (run, step) REFERENCES steps (run, name) ON DELETE CASCADE
);

-- The same for repairs.
CREATE TABLE repairs (
    run    TEXT COLLATE "C" NOT NULL,
    step   TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL CHECK (number >= 1),
    tenant TEXT COLLATE "C" NOT NULL,
    state  TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    doc    JSONB NOT NULL,
    PRIMARY KEY (run, step, number),
    FOREIGN KEY (run, step) REFERENCES steps (run, name) ON DELETE CASCADE
);

-- The queue. A task is named by its run and its work; `affinity` is a copy of the run's, '' for none.
CREATE TABLE tasks (
    run         TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    work        TEXT COLLATE "C" NOT NULL,
    tenant      TEXT COLLATE "C" NOT NULL,
    class       TEXT COLLATE "C" NOT NULL CHECK (class IN ('cpu', 'io', 'llm')),
    affinity    TEXT COLLATE "C" NOT NULL,
    ready_at    BIGINT NOT NULL,
    fence       BIGINT NOT NULL CHECK (fence >= 0),
    worker      TEXT COLLATE "C",
    lease_until BIGINT,
    interrupt   BIGINT NOT NULL CHECK (interrupt IN (0, 1)),
    PRIMARY KEY (run, work),
    CHECK ((worker IS NULL) = (lease_until IS NULL)),
    CHECK (worker IS NULL OR fence >= 1)
);
CREATE INDEX tasks_ready ON tasks (affinity, class, ready_at, run, work) WHERE worker IS NULL;
CREATE INDEX tasks_leased ON tasks (lease_until) WHERE worker IS NOT NULL;
CREATE INDEX tasks_worker ON tasks (worker) WHERE worker IS NOT NULL;

CREATE TABLE events (
    seq    BIGINT NOT NULL PRIMARY KEY CHECK (seq >= 1),
    tenant TEXT COLLATE "C" NOT NULL,
    run    TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    at     BIGINT NOT NULL,
    event  TEXT COLLATE "C" NOT NULL,
    step   TEXT COLLATE "C",
    doc    JSONB NOT NULL
);
CREATE INDEX events_run ON events (run, seq);
CREATE INDEX events_tenant ON events (tenant, seq);

-- Differences by content. Bytes, because a difference may hold what a text column cannot.
CREATE TABLE patches (
    digest     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    diff       BYTEA NOT NULL
);

-- Processes, not tenants': a worker serves them all.
CREATE TABLE workers (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    node       TEXT COLLATE "C" NOT NULL,
    pid        BIGINT NOT NULL,
    version    TEXT COLLATE "C" NOT NULL,
    roles      JSONB NOT NULL,
    slots      JSONB NOT NULL,
    affinity   TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    state      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX workers_node ON workers (node);

CREATE TABLE tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant       TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    hash         BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes       JSONB NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT 
);
CREATE INDEX tokens_tenant ON tokens (tenant, created_at);

-- One-time links, and the sessions they turn into. A login has no tenant yet.
CREATE TABLE logins (
    hash       BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    expires_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    hash       BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    tenant     TEXT COLLATE "C" NOT NULL,
    scopes     JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
