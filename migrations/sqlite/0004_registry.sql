-- What was decided about packages, by an operator or by the host itself; what the directories offer counts where
-- nothing was decided.
CREATE TABLE registry (
    name TEXT PRIMARY KEY,
    stance TEXT NOT NULL,
    digest TEXT NOT NULL,
    version TEXT NOT NULL,
    avoid TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;
