SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM workflow_names WHERE tenant = $1 AND name = $2
