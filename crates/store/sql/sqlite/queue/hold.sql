SELECT
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work, gate,
    options, payload, state
FROM queue
WHERE id IN (SELECT value FROM json_each($1))
ORDER BY id
