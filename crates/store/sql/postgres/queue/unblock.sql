UPDATE queue SET state = 'ready'
WHERE id IN (
    SELECT id FROM queue
    WHERE state = 'blocked' AND tenant = $1 AND gate = $2
    ORDER BY rank, id LIMIT $3 FOR UPDATE SKIP LOCKED
)
