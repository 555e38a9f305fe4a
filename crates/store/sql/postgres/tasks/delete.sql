DELETE FROM tasks
USING jsonb_array_elements($1) AS e (value)
WHERE tasks.run = e.value->>'run' AND tasks.work = e.value->>'work'
