SELECT r.id AS run
FROM (
    SELECT l.run FROM fires AS l
    WHERE l.source = $1 AND l.state = 'started' AND l.at < $2
    ORDER BY l.at DESC
    LIMIT 100
) AS f
INNER JOIN runs AS r ON r.id = f.run
WHERE r.outcome IS NULL
