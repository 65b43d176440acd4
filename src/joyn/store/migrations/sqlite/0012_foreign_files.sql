-- Files of peer operators' subscribers that links of ours lead to and that are not here yet. When one is, it is a row of
-- `file` with the same id, and none here any more.
CREATE TABLE foreign_file (
    id           TEXT PRIMARY KEY,
    owner        TEXT NOT NULL,
    path         TEXT NOT NULL,
    kind         TEXT NOT NULL,
    size         INTEGER NOT NULL,
    name         TEXT NOT NULL,
    content_type TEXT NOT NULL,
    until        REAL NOT NULL,
    lost         INTEGER NOT NULL,
    reserved     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX foreign_file_waiting ON foreign_file (owner, until) WHERE lost = 0;
CREATE INDEX foreign_file_until ON foreign_file (until);

-- How many of each owner's are waited for: counting them anew for every message would take longer the more there are.
CREATE TABLE foreign_waiting (
    owner TEXT PRIMARY KEY,
    files INTEGER NOT NULL
) WITHOUT ROWID;
