-- Bytes that a subscriber's files may take; 0: as many as the operator's setting says.
ALTER TABLE subscriber ADD COLUMN file_quota INTEGER NOT NULL DEFAULT 0;
