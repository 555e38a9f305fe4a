UPDATE tasks
SET fence = fence + 1, worker = $2, lease_until = $3, interrupt = 0
FROM json_each($1) AS e
WHERE tasks.run = e.value->>'run' AND tasks.work = e.value->>'work'
