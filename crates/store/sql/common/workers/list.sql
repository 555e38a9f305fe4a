SELECT id, node, pid, version, roles, slots, affinity, started_at, seen_at, state, wish
FROM workers
WHERE seen_at >= $1
ORDER BY node, started_at, id
