-- Leased tasks wait again; `leases/remove` ends the leases in the same transaction.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    t.id, t.tenant, t.kind, t.class, t.priority, t.affinity, t.rank, u.ready_at, t.enqueued_at, t.fence, u.failures,
    u.losses, u.reserved, t.run, t.work, t.gate, t.options, t.payload, u.state
FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[])
    AS u (id, state, ready_at, failures, losses, reserved)
CROSS JOIN LATERAL (SELECT * FROM leases WHERE leases.id = u.id OFFSET 0) AS t
