-- What one process alone may claim is that process's affair.
SELECT COUNT(*) AS waiting FROM (
    SELECT 1 FROM queue WHERE priority = $1 AND affinity NOT LIKE 'embedded:%' LIMIT $2
) AS w
