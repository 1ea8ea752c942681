-- Times are milliseconds since 1970 UTC. Ids are UUIDs as text. JSON is text.

-- A process that runs an engine, from start to end.
CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    stopped_at BIGINT,
    -- 1 when it ended without saying so.
    died BIGINT NOT NULL DEFAULT 0
);

-- Hosts that run, and those that were seen last.
CREATE INDEX hosts_running ON hosts (id) WHERE stopped_at IS NULL;
CREATE INDEX hosts_by_seen ON hosts (seen_at);

-- The desired digest of each package.
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

-- The override of a package, by an operator or by the host itself; it comes before what the directories offer.
CREATE TABLE overrides (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    digest TEXT,
    version TEXT NOT NULL,
    avoid TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

-- Every digest that a host ever verified.
CREATE TABLE artifacts (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    target TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    manifest TEXT NOT NULL,
    -- The library in the artifact cache, and what it is compared with; none once it is evicted.
    library TEXT,
    library_sha256 TEXT,
    -- Armored, one after the other.
    signatures TEXT NOT NULL,
    -- A key that has expired since the first stays good; the last says which artifacts are kept.
    first_added_at BIGINT NOT NULL,
    added_at BIGINT NOT NULL
);
CREATE INDEX artifacts_by_name ON artifacts (name, added_at);

-- What probes found out about a digest: another build of the host, or other libraries beside it, ask again.
CREATE TABLE verdicts (
    digest TEXT NOT NULL,
    environment TEXT NOT NULL,
    package TEXT NOT NULL,
    verdict TEXT NOT NULL,
    -- Of a refusal.
    code TEXT,
    message TEXT,
    probed_at BIGINT NOT NULL,
    PRIMARY KEY (digest, environment)
) WITHOUT ROWID;
CREATE INDEX verdicts_by_package ON verdicts (package);

-- Packages whose failures an operator asked to forget, and when.
CREATE TABLE retries (
    name TEXT PRIMARY KEY,
    requested_at BIGINT NOT NULL
) WITHOUT ROWID;

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
    unload_result TEXT,
    -- When it began to only finish what it has; a digest that is opened again for its runs goes on from there.
    drained_at BIGINT
);
CREATE INDEX generations_by_state ON generations (state, host_id);
CREATE INDEX generations_by_package ON generations (package, id);

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
    dedup_key TEXT,
    input TEXT NOT NULL,
    error TEXT,
    open_tasks BIGINT NOT NULL,
    failed_tasks BIGINT NOT NULL,
    -- Tasks that were skipped because something above them failed.
    skipped_tasks BIGINT NOT NULL DEFAULT 0,
    cancel_requested_at BIGINT,
    deadline_at BIGINT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
) WITHOUT ROWID;
-- Keys of those that have one: most have none, and take no place in it.
CREATE UNIQUE INDEX runs_dedup ON runs (dedup_key) WHERE dedup_key IS NOT NULL;
-- Unfinished runs, with the digest they are pinned to.
CREATE INDEX runs_open ON runs (id, digest, finished_at) WHERE finished_at IS NULL;
-- Unfinished runs with a cancel request, and those with a deadline.
CREATE INDEX runs_to_cancel ON runs (id) WHERE finished_at IS NULL AND cancel_requested_at IS NOT NULL;
CREATE INDEX runs_to_end ON runs (deadline_at) WHERE finished_at IS NULL AND deadline_at IS NOT NULL;
-- The runs that are looked for among many that succeeded, which have no index: each would pay for it.
CREATE INDEX runs_failed ON runs (id) WHERE state = 'failed';
CREATE INDEX runs_cancelled ON runs (id) WHERE state = 'cancelled';
-- Unfinished runs by their origin, for triggers that do not overlap.
CREATE INDEX runs_of_triggers ON runs (origin) WHERE finished_at IS NULL AND origin <> 'manual';

CREATE TABLE tasks (
    run_id TEXT NOT NULL,
    idx BIGINT NOT NULL,
    id TEXT NOT NULL,
    -- A number made of digest, tenant and workflow: whoever has these claims from the queue.
    queue BIGINT NOT NULL,
    state TEXT NOT NULL,
    waiting BIGINT NOT NULL,
    -- Dependencies that failed, were cancelled, or were skipped because of a failure further up.
    upstream_failed BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    -- Attempts that ended with their host or process; of the last ones in a row, those that had others beside them,
    -- and those that did not.
    lost BIGINT NOT NULL,
    lost_together BIGINT NOT NULL,
    lost_alone BIGINT NOT NULL,
    -- The fencing token of the current or last lease.
    token BIGINT NOT NULL,
    -- Not before this time; 0 for one that was not put back.
    due_at BIGINT NOT NULL,
    host_id TEXT,
    started_at BIGINT,
    finished_at BIGINT,
    error TEXT,
    patch TEXT,
    PRIMARY KEY (run_id, idx)
) WITHOUT ROWID;
-- What can be claimed, the oldest run of each queue first.
CREATE INDEX tasks_claimable ON tasks (queue, run_id, idx) WHERE state = 'ready' AND due_at = 0;
-- What was put back for later.
CREATE INDEX tasks_delayed ON tasks (due_at) WHERE state = 'ready' AND due_at > 0;
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

-- The next fire of each cron trigger.
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    expression TEXT NOT NULL,
    timezone TEXT NOT NULL,
    next_at BIGINT,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

-- The state of each reactor that outlives a host.
CREATE TABLE reactors (
    name TEXT PRIMARY KEY,
    -- The last input of a sequential reactor whose outcome is recorded.
    cursor BIGINT NOT NULL,
    paused BIGINT NOT NULL,
    -- Boundary values, accumulator states and counters, as MessagePack.
    state BLOB NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

-- Inputs of sequential reactors that are not processed yet.
CREATE TABLE reactor_inputs (
    reactor TEXT NOT NULL,
    seq BIGINT NOT NULL,
    source TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (reactor, seq)
) WITHOUT ROWID;

-- Outputs of terminals for the inputs of sequential reactors, as MessagePack.
CREATE TABLE reactor_outputs (
    reactor TEXT NOT NULL,
    seq BIGINT NOT NULL,
    graph TEXT NOT NULL,
    terminal TEXT NOT NULL,
    value BLOB NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (reactor, seq, graph, terminal)
) WITHOUT ROWID;

-- The position up to which a stream was read into a reactor.
CREATE TABLE reactor_positions (
    reactor TEXT NOT NULL,
    stream TEXT NOT NULL,
    position TEXT NOT NULL,
    PRIMARY KEY (reactor, stream)
) WITHOUT ROWID;

-- Events that no accumulator or graph could read, and starts of workflows that were refused.
CREATE TABLE dead_letters (
    id TEXT PRIMARY KEY,
    reactor TEXT NOT NULL,
    source TEXT NOT NULL,
    position TEXT NOT NULL,
    field TEXT NOT NULL,
    message TEXT NOT NULL,
    payload TEXT NOT NULL,
    -- 1 when it is whole and came from outside: it can be sent again.
    resendable BIGINT NOT NULL,
    -- The workflow that was to start, and its dedup key; none for an event.
    tenant TEXT,
    workflow TEXT,
    dedup_key TEXT,
    at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX dead_letters_by_reactor ON dead_letters (reactor, id);

-- Requests of other programs to the host that runs a reactor.
CREATE TABLE reactor_commands (
    id TEXT PRIMARY KEY,
    reactor TEXT NOT NULL,
    command TEXT NOT NULL,
    source TEXT NOT NULL,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- Why the host refused it, with a code; whoever asked reads it.
    refusal_code TEXT,
    refusal TEXT
) WITHOUT ROWID;
CREATE INDEX reactor_commands_waiting ON reactor_commands (reactor, id) WHERE refusal_code IS NULL;

-- Requests of other programs to the host: starts of workflows, fires of triggers.
CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    -- The workflow, or the trigger.
    name TEXT NOT NULL,
    -- What its runs start with, as JSON.
    payload TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- The answer, which whoever asked reads: the outcome as JSON, or why there are none, with a code and what to do.
    outcome TEXT,
    refusal_code TEXT,
    refusal TEXT,
    fix TEXT
) WITHOUT ROWID;
CREATE INDEX requests_waiting ON requests (id) WHERE outcome IS NULL AND refusal_code IS NULL;

-- The status of each running reactor as its host last recorded it.
CREATE TABLE reactor_status (
    name TEXT PRIMARY KEY,
    package TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

-- A package that a host follows in a registry, and the release of it that was taken in last.
CREATE TABLE followed_packages (
    name TEXT PRIMARY KEY,
    -- Which release: `^1`, `stable`, or empty for the highest.
    requirement TEXT NOT NULL,
    registry TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT,
    -- When the registry was asked last, and what went wrong then.
    checked_at BIGINT,
    code TEXT,
    message TEXT
) WITHOUT ROWID;

-- The small files of a registry in this database: indexes.
CREATE TABLE registry_documents (
    path TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;

-- The archives of a registry in this database, which are there once they are whole.
CREATE TABLE registry_archives (
    path TEXT PRIMARY KEY,
    bytes BIGINT NOT NULL
) WITHOUT ROWID;

-- The bytes of those archives, in chunks of one size.
CREATE TABLE registry_chunks (
    path TEXT NOT NULL,
    seq BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (path, seq)
);
