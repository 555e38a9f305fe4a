UPDATE tasks
SET interrupt = 1
FROM json_each($1) AS e
WHERE tasks.run = e.value->>'run' AND tasks.work = e.value->>'work' AND tasks.worker IS NOT NULL
