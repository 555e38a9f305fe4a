-- One class. Counts end at $3, so that looking at a long queue costs no more than at a short one; the oldest is that of
-- the next thousand.
SELECT
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM queue WHERE state = 'ready' AND class = $1 LIMIT $3
    ) AS r)
    + (SELECT COUNT(*) FROM (
        SELECT 1 FROM queue WHERE state = 'delayed' AND class = $1 AND ready_at <= $2 LIMIT $3
    ) AS due) AS ready,
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM queue WHERE state = 'delayed' AND class = $1 AND ready_at > $2 LIMIT $3
    ) AS d) AS delayed,
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM queue WHERE state = 'blocked' AND class = $1 LIMIT $3
    ) AS b) AS blocked,
    (SELECT COUNT(*) FROM (SELECT 1 FROM leases WHERE class = $1 LIMIT $3) AS l) AS leased,
    (SELECT MIN(ready_at) FROM (
        SELECT ready_at FROM (
            SELECT ready_at FROM queue WHERE state = 'ready' AND class = $1 ORDER BY affinity, rank LIMIT 1000
        ) AS first_ready
        UNION ALL
        SELECT ready_at FROM (
            SELECT ready_at FROM queue
            WHERE state = 'delayed' AND class = $1 AND ready_at <= $2 ORDER BY ready_at LIMIT 1
        ) AS first_due
    ) AS oldest) AS oldest
