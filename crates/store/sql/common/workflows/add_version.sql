INSERT INTO workflow_names (tenant, name, version, digest, created_at, actor, is_current)
VALUES ($1, $2, $3, $4, $5, $6, 0)
