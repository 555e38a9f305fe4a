DELETE FROM task_keys WHERE kind = 'unique' AND task = ANY($1)
