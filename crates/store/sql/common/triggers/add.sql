INSERT INTO triggers (id, tenant, name, kind, subject, workflow, version, doc, actor, created_at)
SELECT $1, $2, $3, $4, $5, $6, CAST($7 AS BIGINT), $8, $9, $10
WHERE (SELECT COUNT(*) FROM triggers WHERE tenant = $2) < $11
ON CONFLICT (tenant, name) DO NOTHING
