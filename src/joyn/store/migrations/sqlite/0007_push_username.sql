-- Whose credentials a sleeping SIP device registered with: it is forgotten with them, also when its binding has gone before.
ALTER TABLE push_target ADD COLUMN username TEXT NOT NULL DEFAULT '';
UPDATE push_target SET username = coalesce(
    (SELECT binding.username FROM binding WHERE binding.aor = push_target.aor AND binding.key = push_target.device), ''
) WHERE p256dh = '';
