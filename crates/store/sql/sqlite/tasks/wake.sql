-- Tasks that nobody holds become ready sooner; one that is ready, held or gone stays as it is.
UPDATE tasks SET ready_at = $2
WHERE worker IS NULL AND ready_at > $2 AND (run, work) IN (SELECT value->>'run', value->>'work' FROM json_each($1))
