-- The first blocked task of each key.
SELECT tenant, gate, options
FROM queue
WHERE state = 'blocked' AND rank = (
    SELECT MIN(b.rank) FROM queue AS b WHERE b.state = 'blocked' AND b.tenant = queue.tenant AND b.gate = queue.gate
)
ORDER BY tenant, gate
LIMIT $1
