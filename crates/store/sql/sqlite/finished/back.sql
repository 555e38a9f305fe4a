-- Dead letters wait again; `finished/remove` ends their records in the same transaction.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    t.id, t.tenant, t.kind, t.class, t.priority, '', e.value->>1, $1, $1, 0, 0, 0, 0, NULL, NULL, e.value->>2, e.value->>3, t.payload,
    'ready'
FROM json_each($2) AS e
CROSS JOIN finished AS t ON t.id = e.value->>0 AND t.payload IS NOT NULL
