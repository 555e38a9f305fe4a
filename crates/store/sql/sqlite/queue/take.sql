-- The ready tasks of lowest rank become leases; `queue/remove` takes them off the queue in the same transaction.
INSERT INTO leases (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload,
    worker, lease_until, started_at, interrupt
)
SELECT
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence + 1, failures, losses, reserved, run,
    work, gate, options, payload,
    $4, $5, $6, 0
FROM queue
WHERE state = 'ready' AND class = $1 AND affinity = $2
    AND NOT EXISTS (SELECT 1 FROM flows WHERE flows.class = $1 AND flows.state = 'paused')
ORDER BY rank
LIMIT $3
RETURNING
    id, tenant, kind, class, priority, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work, options,
    payload, worker, interrupt
