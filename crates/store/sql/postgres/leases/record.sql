-- Records of tasks that end now; only dead letters keep what they were about.
INSERT INTO finished (
    id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, finished_at, worker, fate, error, gate, options,
    payload
)
SELECT
    t.id, t.tenant, t.kind, t.class, t.priority, u.failures, u.losses, t.enqueued_at, t.started_at, $1, t.worker, u.fate,
    u.error, t.gate,
    CASE WHEN u.fate IN ('failed', 'expired', 'quarantined') THEN t.options END,
    CASE WHEN u.fate IN ('failed', 'expired', 'quarantined') THEN t.payload END
FROM unnest($2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[])
    AS u (id, fate, error, failures, losses)
CROSS JOIN LATERAL (SELECT * FROM leases WHERE leases.id = u.id OFFSET 0) AS t
