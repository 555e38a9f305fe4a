UPDATE tasks
SET fence = fence + 1, worker = $2, lease_until = $3, interrupt = 0
FROM jsonb_array_elements($1) AS e (value)
WHERE tasks.run = e.value->>'run' AND tasks.work = e.value->>'work'
