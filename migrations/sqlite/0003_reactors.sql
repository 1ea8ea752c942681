-- Reactors by name: what outlives a host.
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

-- What the terminals of graphs delivered for the inputs of sequential reactors, as MessagePack.
CREATE TABLE reactor_outputs (
    reactor TEXT NOT NULL,
    seq BIGINT NOT NULL,
    graph TEXT NOT NULL,
    terminal TEXT NOT NULL,
    value BLOB NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (reactor, seq, graph, terminal)
) WITHOUT ROWID;

-- How far a stream was read into a reactor.
CREATE TABLE reactor_positions (
    reactor TEXT NOT NULL,
    stream TEXT NOT NULL,
    position TEXT NOT NULL,
    PRIMARY KEY (reactor, stream)
) WITHOUT ROWID;

-- Events that could not be taken, kept for a look.
CREATE TABLE reactor_rejects (
    id TEXT PRIMARY KEY,
    reactor TEXT NOT NULL,
    source TEXT NOT NULL,
    position TEXT NOT NULL,
    field TEXT NOT NULL,
    message TEXT NOT NULL,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX rejects_by_reactor ON reactor_rejects (reactor, id);

-- What operators ask of reactors from outside the host that runs them.
CREATE TABLE reactor_commands (
    id TEXT PRIMARY KEY,
    reactor TEXT NOT NULL,
    command TEXT NOT NULL,
    source TEXT NOT NULL,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;

-- What a host says about its reactors, for whoever looks from outside.
CREATE TABLE reactor_status (
    name TEXT PRIMARY KEY,
    package TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;
