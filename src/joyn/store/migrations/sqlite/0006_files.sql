-- Files on their way in. What has come of one lies with the blobs, under its id.
CREATE TABLE upload (
    id               TEXT PRIMARY KEY,
    owner            TEXT NOT NULL,
    tid              TEXT NOT NULL,
    size             INTEGER NOT NULL,
    name             TEXT NOT NULL,
    content_type     TEXT NOT NULL,
    thumbnail        TEXT NOT NULL,
    thumbnail_size   INTEGER NOT NULL,
    thumbnail_type   TEXT NOT NULL,
    started_at       REAL NOT NULL,
    UNIQUE (owner, tid)
) WITHOUT ROWID;
CREATE INDEX upload_started_at ON upload (started_at);
CREATE INDEX upload_thumbnail ON upload (thumbnail);

-- Files that can be fetched. A digest names the blob; several files may have the same.
CREATE TABLE file (
    id           TEXT PRIMARY KEY,
    owner        TEXT NOT NULL,
    tid          TEXT NOT NULL,
    kind         TEXT NOT NULL,
    digest       TEXT NOT NULL,
    size         INTEGER NOT NULL,
    name         TEXT NOT NULL,
    content_type TEXT NOT NULL,
    stored_at    REAL NOT NULL,
    until        REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX file_owner ON file (owner, tid);
-- What is over keeps its row for a while, with no digest: looking for more of it must not walk through all that.
CREATE INDEX file_digest ON file (digest) WHERE digest != '';
CREATE INDEX file_until ON file (until) WHERE digest != '';
CREATE INDEX file_gone ON file (until) WHERE digest = '';

-- The bytes of each subscriber's files and announced uploads, and of all (owner ''): counting them anew for every
-- upload would take longer the more there are.
CREATE TABLE file_usage (
    owner TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
