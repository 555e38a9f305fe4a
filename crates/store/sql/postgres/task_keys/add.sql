INSERT INTO task_keys (tenant, kind, key, task, made_at)
SELECT u.tenant, $1, u.key, u.task, $2
FROM unnest($3::TEXT[], $4::TEXT[], $5::TEXT[]) AS u (tenant, key, task)
ON CONFLICT (tenant, kind, key) DO NOTHING
RETURNING task
