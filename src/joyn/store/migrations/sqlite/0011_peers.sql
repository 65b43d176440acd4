-- Peer operators: what their file says, and what is ours about each. Lists are JSON: they are few, and all are read at
-- once.
CREATE TABLE peer (
    domain       TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    addresses    TEXT NOT NULL,
    certificates TEXT NOT NULL,
    ranges       TEXT NOT NULL,
    files        TEXT NOT NULL,
    transit      TEXT NOT NULL,
    file_policy  TEXT NOT NULL,
    paused       INTEGER NOT NULL,
    rate         INTEGER NOT NULL,
    keep_for     REAL NOT NULL,
    changed_at   REAL NOT NULL
) WITHOUT ROWID;
