-- Whose credentials registered a binding: with a device go the bindings that it made, whatever instance they name.
ALTER TABLE binding ADD COLUMN username TEXT NOT NULL DEFAULT '';
UPDATE binding SET username = coalesce((SELECT username FROM device
    WHERE device.aor = binding.aor AND device.instance = binding.instance AND binding.instance != ''), '');
ALTER TABLE device DROP COLUMN instance;

-- A number that nobody has was asked about: it counts for who asks, and for nobody else.
ALTER TABLE code_send ADD COLUMN vain INTEGER NOT NULL DEFAULT 0;
