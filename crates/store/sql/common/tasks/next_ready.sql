SELECT MIN(ready_at) AS at FROM tasks WHERE worker IS NULL AND affinity = $1
