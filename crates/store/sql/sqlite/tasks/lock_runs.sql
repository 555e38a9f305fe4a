SELECT run, work FROM tasks WHERE run IN (SELECT value FROM json_each($1))
