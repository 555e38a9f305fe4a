SELECT run, work, class, fence
FROM tasks
WHERE worker IS NULL AND affinity = $1 AND class = $2 AND ready_at <= $3
ORDER BY ready_at, run, work
LIMIT $4
FOR UPDATE SKIP LOCKED
