-- Locked in the order of their names first, so that two beats cannot wait for each other.
WITH held AS (
    SELECT t.run, t.work
    FROM tasks AS t
    INNER JOIN jsonb_array_elements($1) AS e (value)
        ON t.run = e.value->>'run' AND t.work = e.value->>'work' AND t.fence = CAST(e.value->>'fence' AS BIGINT)
    WHERE t.worker IS NOT NULL
    ORDER BY t.run, t.work
    FOR UPDATE OF t
)
UPDATE tasks
SET lease_until = $2
FROM held
WHERE tasks.run = held.run AND tasks.work = held.work
RETURNING tasks.run, tasks.work, tasks.fence, tasks.interrupt
