SELECT n.name, n.version, n.digest, n.created_at, n.actor, n.is_current, n.chosen_at, n.chosen_by
FROM workflow_names AS n
WHERE n.tenant = $1 AND n.name = $2 AND n.version < $3
ORDER BY n.version DESC
LIMIT $4
