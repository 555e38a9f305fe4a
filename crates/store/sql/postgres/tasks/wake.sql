-- Tasks that nobody holds become ready sooner; one that is ready, held or gone stays as it is.
UPDATE tasks SET ready_at = $2
FROM jsonb_array_elements($1) AS e (value)
WHERE tasks.worker IS NULL AND tasks.ready_at > $2 AND tasks.run = e.value->>'run' AND tasks.work = e.value->>'work'
