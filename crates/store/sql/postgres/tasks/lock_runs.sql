SELECT run, work FROM tasks WHERE run = ANY($1) ORDER BY run, work FOR UPDATE
