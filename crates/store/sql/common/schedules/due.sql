-- A schedule is busy while a start it decided on is not made yet, or a run of it is open. Its last hundred starts
-- are looked at.
SELECT s.id, s.tenant, s.name, s.workflow, s.version, s.inputs, s.doc, s.actor, s.created_at, s.updated_at,
    s.revision, s.paused, s.after_at, s.waiting_at, s.next_at,
    CASE WHEN EXISTS (
        SELECT 1
        FROM (
            SELECT l.run FROM fires AS l
            WHERE l.source = s.id AND l.state IN ('pending', 'started')
            ORDER BY l.at DESC
            LIMIT 100
        ) AS f
        LEFT JOIN runs AS r ON r.id = f.run
        WHERE f.run IS NULL OR (r.id IS NOT NULL AND r.outcome IS NULL)
    ) THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS is_running
FROM schedules AS s
WHERE s.paused IS NULL AND (s.next_at <= $1 OR s.waiting_at IS NOT NULL)
ORDER BY s.next_at
LIMIT $2
