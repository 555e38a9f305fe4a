SELECT run, work FROM tasks WHERE worker = $1 ORDER BY run, work LIMIT $2
FOR UPDATE
