-- Tasks that differ only in what the arrays give.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    u.id, $1, $2, $3, $4, '', u.rank, u.ready_at, $5, 0, 0, 0, 0, NULL, NULL, $6, $7, u.payload,
    CASE WHEN u.ready_at <= $5 THEN 'ready' ELSE 'delayed' END
FROM unnest($8::TEXT[], $9::BIGINT[], $10::BIGINT[], $11::TEXT[]) AS u (id, rank, ready_at, payload)
WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.id = u.id)
