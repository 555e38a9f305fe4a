DELETE FROM tasks
WHERE worker IS NULL AND (run, work) IN (SELECT value->>'run', value->>'work' FROM json_each($1))
