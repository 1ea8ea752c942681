-- Unfinished runs by the digest they are pinned to, and those that somebody or their deadline may end.
CREATE INDEX runs_pinned ON runs (digest) WHERE finished_at IS NULL;
CREATE INDEX runs_to_cancel ON runs (id)
    WHERE finished_at IS NULL AND (cancel_requested_at IS NOT NULL OR deadline_at IS NOT NULL);
-- Unfinished runs by what started them, for triggers that do not overlap.
CREATE INDEX runs_of_triggers ON runs (origin) WHERE finished_at IS NULL AND origin <> 'manual';
DROP INDEX runs_open;

-- What the private copy is checked against when a digest is loaded without its file.
ALTER TABLE artifacts ADD COLUMN library TEXT;
ALTER TABLE artifacts ADD COLUMN library_sha256 TEXT;
