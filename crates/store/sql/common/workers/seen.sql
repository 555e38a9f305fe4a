INSERT INTO workers (id, node, pid, version, roles, slots, affinity, started_at, seen_at, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE
SET roles = excluded.roles, slots = excluded.slots, seen_at = excluded.seen_at, state = excluded.state
RETURNING wish
