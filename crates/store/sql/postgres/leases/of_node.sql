SELECT
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work, gate,
    options, payload, worker, started_at, interrupt
FROM leases
WHERE worker IN (SELECT workers.id FROM workers WHERE workers.node = $1 AND workers.id <> $2)
ORDER BY id
LIMIT $3
FOR UPDATE
