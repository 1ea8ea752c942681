-- Times are milliseconds since 1970 UTC. Ids are UUIDs as text. JSON is text.

CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    stopped_at BIGINT
);

-- What is desired: one row per package name.
CREATE TABLE packages (
    name TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Every digest that was ever taken in.
CREATE TABLE artifacts (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    target TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    manifest TEXT NOT NULL,
    probe TEXT,
    probed_at BIGINT,
    added_at BIGINT NOT NULL
);

-- A digest loaded by a host, from load to unload.
CREATE TABLE generations (
    id TEXT PRIMARY KEY,
    host_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    step BIGINT NOT NULL,
    loaded_at BIGINT NOT NULL,
    unloaded_at BIGINT,
    released TEXT
);
CREATE INDEX generations_by_state ON generations (state, host_id);

CREATE TABLE conditions (
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    digest TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (subject, type)
) WITHOUT ROWID;

CREATE TABLE entries (
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (digest, kind, name)
) WITHOUT ROWID;

CREATE TABLE events (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_by_subject ON events (subject, id);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    workflow TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    dedup_key TEXT UNIQUE,
    input TEXT NOT NULL,
    error TEXT,
    open_tasks BIGINT NOT NULL,
    failed_tasks BIGINT NOT NULL,
    cancel_requested_at BIGINT,
    deadline_at BIGINT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
) WITHOUT ROWID;
CREATE INDEX runs_open ON runs (id) WHERE finished_at IS NULL;

CREATE TABLE tasks (
    run_id TEXT NOT NULL,
    idx BIGINT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    waiting BIGINT NOT NULL,
    tainted BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    token BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    host_id TEXT,
    started_at BIGINT,
    finished_at BIGINT,
    error TEXT,
    patch TEXT,
    PRIMARY KEY (run_id, idx)
) WITHOUT ROWID;
CREATE INDEX tasks_claimable ON tasks (due_at, run_id, idx) WHERE state = 'ready';
CREATE INDEX tasks_running ON tasks (host_id) WHERE state = 'running';

CREATE TABLE attempts (
    run_id TEXT NOT NULL,
    idx BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    host_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    PRIMARY KEY (run_id, idx, attempt)
) WITHOUT ROWID;

-- The next fire of each cron trigger, and when each was last looked at.
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    expression TEXT NOT NULL,
    timezone TEXT NOT NULL,
    next_at BIGINT,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;
