-- Named workflows and what starts them. Only adds.

-- Versions of named workflows. A document is one version of a name however often it is brought; which of them runs
-- is chosen apart from that, so going back makes no new version.
CREATE TABLE workflow_names (
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    digest     TEXT    NOT NULL REFERENCES workflows (digest),
    created_at INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
    chosen_at  INTEGER,
    chosen_by  TEXT,
    PRIMARY KEY (tenant, name, version),
    UNIQUE (tenant, name, digest)
) STRICT;
CREATE UNIQUE INDEX workflow_names_current ON workflow_names (tenant, name) WHERE is_current = 1;

-- Schedules. `doc` is when and under which conditions; `after_at` is up to where its times are decided. `revision`
-- rises with every change by a person, so that a decision made about the old one is not written over the new one.
CREATE TABLE schedules (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 30),
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    version    INTEGER CHECK (version >= 1),
    inputs     TEXT    NOT NULL,
    doc        TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL CHECK (revision >= 1),
    paused     TEXT,
    after_at   INTEGER NOT NULL,
    waiting_at INTEGER,
    next_at    INTEGER,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX schedules_next ON schedules (next_at) WHERE paused IS NULL AND next_at IS NOT NULL;
CREATE INDEX schedules_waiting ON schedules (waiting_at) WHERE paused IS NULL AND waiting_at IS NOT NULL;

-- What starts a workflow when something happens. `subject` is what the event is about: an event's name, or a
-- workflow's for runs that have ended; '' is any.
CREATE TABLE triggers (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 30),
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('event', 'run_finished')),
    subject    TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    version    INTEGER CHECK (version >= 1),
    doc        TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    paused     TEXT,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX triggers_of ON triggers (tenant, kind, subject) WHERE paused IS NULL;

-- Each start that a schedule or trigger decided on, and what came of it. (source, occasion) is what makes it happen
-- once: the occasion is the schedule's time, the run that ended or the event's id. `name` is the source's.
CREATE TABLE fires (
    source     TEXT    NOT NULL,
    occasion   TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('schedule', 'event', 'run')),
    name       TEXT    NOT NULL,
    tenant     TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    version    INTEGER,
    inputs     TEXT    NOT NULL,
    depth      INTEGER NOT NULL CHECK (depth >= 0),
    cancels    INTEGER NOT NULL CHECK (cancels IN (0, 1)),
    at         INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'started', 'skipped', 'failed')),
    run        TEXT,
    detail     TEXT,
    PRIMARY KEY (source, occasion)
) STRICT;
CREATE INDEX fires_pending ON fires (decided_at) WHERE state = 'pending';
CREATE INDEX fires_of ON fires (source, at DESC);
CREATE INDEX fires_run ON fires (run) WHERE run IS NOT NULL;
CREATE INDEX fires_old ON fires (decided_at);

-- Who does what only one node may do. The epoch rises with every change of holder; whoever writes as leader names it.
-- `position` is up to which event a leader has read.
CREATE TABLE leaders (
    name     TEXT    NOT NULL PRIMARY KEY,
    worker   TEXT    NOT NULL,
    epoch    INTEGER NOT NULL CHECK (epoch >= 1),
    until    INTEGER NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 0)
) STRICT;
