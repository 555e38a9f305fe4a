-- Newest first; ties are broken by the id, so the place of a row never depends on when it is asked for.
SELECT
    id, workflow, project, commit_id, actor, affinity, state, outcome, canceling, created_at, started_at, finished_at,
    duration_ms, cost_microusd, kind, class, summary, cells, patches
FROM runs
WHERE
    tenant = $1
    AND (cardinality($2) = 0 OR state = ANY($2) OR outcome = ANY($2))
    AND ($3 IS NULL OR workflow = $3)
    AND ($4 IS NULL OR search LIKE $4 ESCAPE '!')
    AND ($5 IS NULL OR created_at >= $5)
    AND ($6 IS NULL OR created_at < $6)
    AND ($7 IS NULL OR (created_at, id) < ($7, $8))
ORDER BY created_at DESC, id DESC
LIMIT $9
