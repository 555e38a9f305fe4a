-- The days (since the epoch) that have a partition, first one first.
SELECT CAST(substr(c.relname, 11) AS BIGINT) AS day
FROM pg_inherits AS i
INNER JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'finished'::regclass AND c.relname ~ '^finished_d[0-9]+$'
ORDER BY day
