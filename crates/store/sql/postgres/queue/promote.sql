UPDATE queue SET state = 'ready'
WHERE id IN (
    SELECT id FROM queue WHERE state = 'delayed' AND ready_at <= $1 ORDER BY ready_at LIMIT 1000 FOR UPDATE SKIP LOCKED
)
