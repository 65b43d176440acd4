-- Ported numbers: the digits of an E.164 number, and whose it is now. The number is the row's own key, so that a point
-- read is one descent and a million rows are some 40 MiB.
CREATE TABLE ported (
    number INTEGER PRIMARY KEY,
    operator TEXT NOT NULL,
    at REAL NOT NULL
);
