SELECT
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work, gate,
    options, payload, worker, started_at, interrupt
FROM leases
WHERE lease_until < $1
ORDER BY lease_until, id
LIMIT $2
