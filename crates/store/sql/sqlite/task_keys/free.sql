DELETE FROM task_keys WHERE kind = 'unique' AND task IN (SELECT value FROM json_each($1))
