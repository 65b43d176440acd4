-- What is counted of an upload on the quotas: its announced size, or what has been reserved of one that announced none.
ALTER TABLE upload ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
UPDATE upload SET reserved = size;
