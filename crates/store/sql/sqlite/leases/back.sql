-- Leased tasks wait again; `leases/remove` ends the leases in the same transaction.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    t.id, t.tenant, t.kind, t.class, t.priority, t.affinity, t.rank, e.value->>2, t.enqueued_at, t.fence, e.value->>3,
    e.value->>4, e.value->>5, t.run, t.work, t.gate, t.options, t.payload, e.value->>1
FROM json_each($1) AS e
CROSS JOIN leases AS t ON t.id = e.value->>0
