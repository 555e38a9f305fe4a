-- A task of a run. One that is there already was lost and put back: it waits for its new time and keeps its fence.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    u.id, r.tenant, u.kind, u.class, 'normal', r.affinity, u.rank, u.ready_at, $1, 0, 0, 0, 0, r.id, u.work, NULL, NULL, '{}',
    CASE WHEN u.ready_at <= $1 THEN 'ready' ELSE 'delayed' END
FROM unnest($2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[], $8::BIGINT[])
    AS u (id, run, work, kind, class, rank, ready_at)
INNER JOIN runs AS r ON r.id = u.run
ON CONFLICT (run, work) WHERE run IS NOT NULL DO UPDATE
SET ready_at = excluded.ready_at, state = excluded.state
