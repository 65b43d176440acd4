-- What a subscriber sent, in order; what they received is found by entry_mailbox.
CREATE INDEX message_sender ON message (sender) WHERE kind = 0;

-- A number that was given back may get another owner: they see nothing from before this message id.
CREATE TABLE forgotten (
    owner  TEXT PRIMARY KEY,
    before INTEGER NOT NULL
) WITHOUT ROWID;

-- Texts of chat messages by message id, filled behind the writer's back up to progress.indexed_until. parties holds a
-- word for each of the two AORs (see history.py). An owner's messages are few among all, so theirs decide how long a
-- search takes.
CREATE VIRTUAL TABLE words USING fts5 (
    parties, body, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

CREATE TABLE push_target (
    aor        TEXT NOT NULL,
    device     TEXT NOT NULL,
    endpoint   TEXT NOT NULL UNIQUE,
    p256dh     TEXT NOT NULL,
    auth       TEXT NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (aor, device)
) WITHOUT ROWID;

-- Keys of the node's own, private: the file is its owner's alone.
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
