SELECT run, work
FROM tasks
WHERE worker IS NOT NULL AND lease_until < $1
ORDER BY lease_until, run, work
LIMIT $2
