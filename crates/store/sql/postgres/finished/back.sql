-- Dead letters wait again; `finished/remove` ends their records in the same transaction.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    t.id, t.tenant, t.kind, t.class, t.priority, '', u.rank, $1, $1, 0, 0, 0, 0, NULL, NULL, u.gate, u.options, t.payload,
    'ready'
FROM unnest($2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[]) AS u (id, rank, gate, options)
INNER JOIN finished AS t ON t.id = u.id AND t.payload IS NOT NULL
