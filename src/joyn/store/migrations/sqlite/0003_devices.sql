-- Devices that were set up: by a code in a browser, or by auto-configuration.
CREATE TABLE device (
    id                TEXT PRIMARY KEY,
    aor               TEXT NOT NULL,
    kind              TEXT NOT NULL,
    name              TEXT NOT NULL,
    agent             TEXT NOT NULL,
    system            TEXT NOT NULL,
    token             TEXT NOT NULL UNIQUE,
    username          TEXT NOT NULL UNIQUE,
    ha1               TEXT NOT NULL,
    credentials_until REAL NOT NULL,
    instance          TEXT NOT NULL,
    terms             INTEGER NOT NULL,
    created_at        REAL NOT NULL,
    last_active       REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX device_aor ON device (aor);

-- The last one-time code of each number, hashed, with what limits the next one.
CREATE TABLE sent_code (
    aor          TEXT PRIMARY KEY,
    cookie       TEXT NOT NULL UNIQUE,
    code         TEXT NOT NULL,
    tries_left   INTEGER NOT NULL,
    sent_at      REAL NOT NULL,
    expires_at   REAL NOT NULL,
    sends        INTEGER NOT NULL,
    since        REAL NOT NULL,
    locked_until REAL NOT NULL,
    about        TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sent_code_expires ON sent_code (expires_at);
