SELECT COUNT(*) AS waiting FROM (SELECT 1 FROM queue WHERE class = $1 AND affinity = '' LIMIT $2) AS w
