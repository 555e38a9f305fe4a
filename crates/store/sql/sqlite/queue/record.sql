-- Records of tasks that end without having been begun.
INSERT INTO finished (
    id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, finished_at, worker, fate, error, gate, options,
    payload
)
SELECT
    t.id, t.tenant, t.kind, t.class, t.priority, e.value->>3, e.value->>4, t.enqueued_at, NULL, $1, NULL, e.value->>1,
    e.value->>2, t.gate,
    CASE WHEN e.value->>1 IN ('failed', 'expired', 'quarantined') THEN t.options END,
    CASE WHEN e.value->>1 IN ('failed', 'expired', 'quarantined') THEN t.payload END
FROM json_each($2) AS e
CROSS JOIN queue AS t ON t.id = e.value->>0
