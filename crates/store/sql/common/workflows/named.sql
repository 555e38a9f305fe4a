SELECT n.name, n.version, n.digest, n.created_at, n.actor, n.is_current, n.chosen_at, n.chosen_by, w.doc
FROM workflow_names AS n
INNER JOIN workflows AS w ON w.digest = n.digest
WHERE n.tenant = $1 AND n.name = $2
    AND CASE WHEN CAST($3 AS BIGINT) IS NULL THEN n.is_current = 1 ELSE n.version = CAST($3 AS BIGINT) END
