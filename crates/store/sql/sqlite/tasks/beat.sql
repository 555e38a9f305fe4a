UPDATE tasks
SET lease_until = $2
FROM json_each($1) AS e
WHERE
    tasks.run = e.value->>'run' AND tasks.work = e.value->>'work' AND tasks.fence = e.value->>'fence'
    AND tasks.worker IS NOT NULL
RETURNING tasks.run, tasks.work, tasks.fence, tasks.interrupt
