INSERT INTO schedules (
    id, tenant, name, workflow, version, inputs, doc, actor, created_at, updated_at, revision, paused, after_at, next_at
)
SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), $6, $7, $8, $9, $9, 1, NULL, $9, CAST($10 AS BIGINT)
WHERE (SELECT COUNT(*) FROM schedules WHERE tenant = $2) < $11
ON CONFLICT (tenant, name) DO NOTHING
