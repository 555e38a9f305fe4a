SELECT run, work
FROM tasks
WHERE worker IN (SELECT id FROM workers WHERE node = $1 AND id <> $2)
ORDER BY run, work
LIMIT $3
