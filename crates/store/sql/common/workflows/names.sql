SELECT n.name, n.version, n.digest, n.created_at, n.actor, n.is_current, n.chosen_at, n.chosen_by
FROM workflow_names AS n
WHERE n.tenant = $1 AND n.is_current = 1 AND n.name > $2
ORDER BY n.name
LIMIT $3
