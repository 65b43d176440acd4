-- A token has an end, and the one before it holds until the new one was seen. How a phone is told to fetch its
-- configuration anew: the port it listens on, the configuration it has, and the one it was told of.
ALTER TABLE device ADD COLUMN token_until REAL NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN token_before TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN before_until REAL NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN sms_port INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN configuration TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN told TEXT NOT NULL DEFAULT '';
CREATE INDEX device_token_before ON device (token_before) WHERE token_before != '';

-- Each code of the last hour, for the bounds that are not about one number; the source is hashed.
CREATE TABLE code_send (
    at     REAL NOT NULL,
    source TEXT NOT NULL
);
CREATE INDEX code_send_at ON code_send (at);
CREATE INDEX code_send_source ON code_send (source, at);
