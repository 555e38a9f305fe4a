DELETE FROM fires
WHERE (source, occasion) IN (
    SELECT f.source, f.occasion FROM fires AS f
    WHERE f.decided_at < $1 AND f.state <> 'pending'
    ORDER BY f.decided_at
    LIMIT $2
)
