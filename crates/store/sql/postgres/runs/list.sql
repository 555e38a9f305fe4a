-- Newest first; ties are broken by the id, so the place of a row never depends on when it is asked for.
SELECT
    id, workflow, project, commit_id, actor, affinity, state, outcome, canceling, created_at, started_at, finished_at,
    duration_ms, cost_microusd, kind, class, summary, cells, patches
FROM runs
WHERE
    tenant = $1
    AND (cardinality(CAST($2 AS TEXT[])) = 0 OR state = ANY($2) OR outcome = ANY($2))
    AND (workflow = $3 OR $3 IS NULL)
    AND (search LIKE $4 ESCAPE '!' OR $4 IS NULL)
    AND (created_at >= $5 OR $5 IS NULL)
    AND (created_at < $6 OR $6 IS NULL)
    AND ((created_at, id) < ($7, $8) OR $7 IS NULL)
ORDER BY created_at DESC, id DESC
LIMIT $9
