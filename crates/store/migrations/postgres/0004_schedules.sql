-- Named workflows and what starts them. Only adds.

-- Versions of named workflows. A document is one version of a name however often it is brought; which of them runs
-- is chosen apart from that, so going back makes no new version.
CREATE TABLE workflow_names (
    tenant     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 1),
    digest     TEXT COLLATE "C" NOT NULL REFERENCES workflows (digest),
    created_at BIGINT NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    is_current BIGINT NOT NULL CHECK (is_current IN (0, 1)),
    chosen_at  BIGINT,
    chosen_by  TEXT COLLATE "C",
    PRIMARY KEY (tenant, name, version),
    UNIQUE (tenant, name, digest)
);
CREATE UNIQUE INDEX workflow_names_current ON workflow_names (tenant, name) WHERE is_current = 1;

-- Schedules. `doc` is when and under which conditions; `after_at` is up to where its times are decided. `revision`
-- rises with every change by a person, so that a decision made about the old one is not written over the new one.
CREATE TABLE schedules (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 30),
    tenant     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    workflow   TEXT COLLATE "C" NOT NULL,
    version    BIGINT CHECK (version >= 1),
    inputs     JSONB NOT NULL,
    doc        JSONB NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision   BIGINT NOT NULL CHECK (revision >= 1),
    paused     TEXT COLLATE "C",
    after_at   BIGINT NOT NULL,
    waiting_at BIGINT,
    next_at    BIGINT,
    UNIQUE (tenant, name)
);
CREATE INDEX schedules_next ON schedules (next_at) WHERE paused IS NULL AND next_at IS NOT NULL;
CREATE INDEX schedules_waiting ON schedules (waiting_at) WHERE paused IS NULL AND waiting_at IS NOT NULL;

-- What starts a workflow when something happens. `subject` is what the event is about: an event's name, or a
-- workflow's for runs that have ended; '' is any.
CREATE TABLE triggers (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 30),
    tenant     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('event', 'run_finished')),
    subject    TEXT COLLATE "C" NOT NULL,
    workflow   TEXT COLLATE "C" NOT NULL,
    version    BIGINT CHECK (version >= 1),
    doc        JSONB NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    paused     TEXT COLLATE "C",
    UNIQUE (tenant, name)
);
CREATE INDEX triggers_of ON triggers (tenant, kind, subject) WHERE paused IS NULL;

-- Each start that a schedule or trigger decided on, and what came of it. (source, occasion) is what makes it happen
-- once: the occasion is the schedule's time, the run that ended or the event's id. `name` is the source's.
CREATE TABLE fires (
    source     TEXT COLLATE "C" NOT NULL,
    occasion   TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('schedule', 'event', 'run')),
    name       TEXT COLLATE "C" NOT NULL,
    tenant     TEXT COLLATE "C" NOT NULL,
    workflow   TEXT COLLATE "C" NOT NULL,
    version    BIGINT,
    inputs     JSONB NOT NULL,
    depth      BIGINT NOT NULL CHECK (depth >= 0),
    cancels    BIGINT NOT NULL CHECK (cancels IN (0, 1)),
    at         BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'started', 'skipped', 'failed')),
    run        TEXT COLLATE "C",
    detail     TEXT COLLATE "C",
    PRIMARY KEY (source, occasion)
);
CREATE INDEX fires_pending ON fires (decided_at) WHERE state = 'pending';
CREATE INDEX fires_of ON fires (source, at DESC);
CREATE INDEX fires_run ON fires (run) WHERE run IS NOT NULL;
CREATE INDEX fires_old ON fires (decided_at);

-- Who does what only one node may do. The epoch rises with every change of holder; whoever writes as leader names it.
-- `position` is up to which event a leader has read.
CREATE TABLE leaders (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    worker   TEXT COLLATE "C" NOT NULL,
    epoch    BIGINT NOT NULL CHECK (epoch >= 1),
    until    BIGINT NOT NULL,
    position BIGINT NOT NULL CHECK (position >= 0)
);
