INSERT INTO task_keys (tenant, kind, key, task, made_at)
SELECT value->>0, $1, value->>1, value->>2, $2
FROM json_each($3)
WHERE true
ON CONFLICT (tenant, kind, key) DO NOTHING
RETURNING task
