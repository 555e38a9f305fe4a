SELECT
    class,
    COUNT(*) FILTER (WHERE worker IS NULL AND ready_at <= $1) AS ready,
    COUNT(*) FILTER (WHERE worker IS NULL AND ready_at > $1) AS delayed,
    COUNT(*) FILTER (WHERE worker IS NOT NULL) AS leased,
    MIN(ready_at) FILTER (WHERE worker IS NULL AND ready_at <= $1) AS oldest
FROM tasks
GROUP BY class
