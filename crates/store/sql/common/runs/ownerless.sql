-- Open runs kept for one process that has not been seen (nor the run made) since $1. Those of a node stay its own: nobody
-- else has their files.
SELECT r.id, r.affinity
FROM runs AS r
WHERE
    r.affinity <> '' AND r.affinity NOT LIKE 'node:%' AND r.outcome IS NULL AND r.created_at < $1
    AND NOT EXISTS (SELECT 1 FROM workers AS w WHERE w.affinity = r.affinity AND w.seen_at >= $1)
ORDER BY r.id
LIMIT $2
