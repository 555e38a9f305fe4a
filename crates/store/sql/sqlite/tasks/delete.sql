DELETE FROM tasks
WHERE (run, work) IN (SELECT value->>'run', value->>'work' FROM json_each($1))
