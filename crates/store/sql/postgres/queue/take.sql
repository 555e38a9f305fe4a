-- The ready tasks of lowest rank become leases. Rows others are taking at this moment are passed over.
WITH picked AS (
    SELECT ctid FROM queue
    WHERE state = 'ready' AND class = $1 AND affinity = $2
        AND NOT EXISTS (SELECT 1 FROM flows WHERE flows.class = $1 AND flows.state = 'paused')
    ORDER BY rank
    LIMIT $3
    FOR UPDATE SKIP LOCKED
),
taken AS (
    DELETE FROM queue USING picked WHERE queue.ctid = picked.ctid RETURNING queue.*
)
INSERT INTO leases (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload,
    worker, lease_until, started_at, interrupt
)
SELECT
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence + 1, failures, losses, reserved, run,
    work, gate, options, payload,
    $4, $5, $6, 0
FROM taken
RETURNING
    id, tenant, kind, class, priority, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work, options,
    payload, worker, interrupt
