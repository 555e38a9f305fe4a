SELECT MIN(at) AS at FROM (
    SELECT MIN(ready_at) AS at FROM queue WHERE state = 'delayed' AND affinity = $1
    UNION ALL
    SELECT MIN(ready_at) AS at FROM (
        SELECT ready_at FROM queue
        WHERE state = 'ready' AND class IN ('cpu', 'io', 'llm', 'custom') AND affinity = $1
        LIMIT 1
    ) AS r
) AS both_kinds
