-- Tasks that differ only in what the rows give.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    value->>0, $1, $2, $3, $4, '', value->>1, value->>2, $5, 0, 0, 0, 0, NULL, NULL, $6, $7, value->>3,
    CASE WHEN value->>2 <= $5 THEN 'ready' ELSE 'delayed' END
FROM json_each($8)
WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.id = value->>0)
