-- Who the subscribers are. ha1 is a JSON object from digest algorithm to hexadecimal hash, algorithms a JSON array.
CREATE TABLE subscriber (
    aor          TEXT PRIMARY KEY,
    username     TEXT NOT NULL UNIQUE,
    realm        TEXT NOT NULL,
    ha1          TEXT NOT NULL,
    algorithms   TEXT NOT NULL,
    display_name TEXT NOT NULL,
    blocked      INTEGER NOT NULL,
    created_at   REAL NOT NULL
);

CREATE TABLE block (
    owner TEXT NOT NULL,
    other TEXT NOT NULL,
    PRIMARY KEY (owner, other)
) WITHOUT ROWID;

-- key is the instance, or the contact of a client that has none.
CREATE TABLE binding (
    aor           TEXT NOT NULL,
    key           TEXT NOT NULL,
    reg_id        INTEGER NOT NULL,
    instance      TEXT NOT NULL,
    contact       TEXT NOT NULL,
    parameters    TEXT NOT NULL,
    node          TEXT NOT NULL,
    flow          TEXT NOT NULL,
    call_id       TEXT NOT NULL,
    cseq          INTEGER NOT NULL,
    expires_at    REAL NOT NULL,
    registered_at REAL NOT NULL,
    path          TEXT NOT NULL,
    user_agent    TEXT NOT NULL,
    PRIMARY KEY (aor, key, reg_id)
) WITHOUT ROWID;
CREATE INDEX binding_expires_at ON binding (expires_at);

-- A message with n entries owns the numbers id … id + n - 1: its entries are a range of entry.seq. key is a hash of
-- (kind, sender, conversation, message_id) whose upper half depends on message_id alone. It is not unique: a message
-- accepted anew has the key of the one it follows, and the newest counts.
CREATE TABLE message (
    id            INTEGER PRIMARY KEY,
    key           INTEGER NOT NULL,
    entries       INTEGER NOT NULL,
    sender        TEXT NOT NULL,
    conversation  TEXT NOT NULL,
    message_id    TEXT NOT NULL,
    kind          INTEGER NOT NULL,
    content_type  TEXT NOT NULL,
    digest        BLOB NOT NULL,
    requested     TEXT NOT NULL,
    headers       TEXT NOT NULL,
    service       TEXT NOT NULL,
    instance      TEXT NOT NULL,
    accepted_at   REAL NOT NULL,
    deliver_until REAL NOT NULL,
    retain_until  REAL NOT NULL,
    cpim          BLOB NOT NULL
);
CREATE INDEX message_key ON message (key);
-- Only chat messages expire (Kind.CHAT is 0); the others are simply pruned.
CREATE INDEX message_deliver_until ON message (deliver_until) WHERE kind = 0;
CREATE INDEX message_retain_until ON message (retain_until);

CREATE TABLE entry (
    seq      INTEGER PRIMARY KEY,
    message  INTEGER NOT NULL,
    mailbox  TEXT NOT NULL,
    kind     INTEGER NOT NULL,
    instance TEXT NOT NULL,
    state    INTEGER NOT NULL
);
CREATE INDEX entry_mailbox ON entry (mailbox);

-- One row per state a recipient has reached. forget_at lies behind the message's retain_until.
CREATE TABLE disposition (
    message   INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    state     INTEGER NOT NULL,
    at        REAL NOT NULL,
    forget_at REAL NOT NULL,
    PRIMARY KEY (message, recipient, state)
) WITHOUT ROWID;
CREATE INDEX disposition_forget_at ON disposition (forget_at);

-- ahead: see settlement.py, pack().
CREATE TABLE cursor (
    mailbox    TEXT NOT NULL,
    instance   TEXT NOT NULL,
    low        INTEGER NOT NULL,
    ahead      BLOB NOT NULL,
    touched_at REAL NOT NULL,
    PRIMARY KEY (mailbox, instance)
) WITHOUT ROWID;

-- next_id: a number no message or entry has had, written when the newest ones are deleted.
-- swept_until: every chat message whose deliver_until is not later has been looked at by expire.
CREATE TABLE progress (
    name  TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
