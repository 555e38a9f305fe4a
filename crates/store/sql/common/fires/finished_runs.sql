-- A run that is a step of another one is none of its own.
SELECT e.seq, e.tenant, e.run, e.at, r.workflow, r.outcome, r.project,
    COALESCE(CAST(r.origin->'trigger'->>'depth' AS BIGINT), 0) AS depth
FROM events AS e
INNER JOIN runs AS r ON r.id = e.run
WHERE e.seq > $1 AND e.seq <= $2 AND e.event = 'run.finished' AND r.origin->>'parent' IS NULL
ORDER BY e.seq
