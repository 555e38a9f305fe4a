-- What is older than the moment among the rows written first.
DELETE FROM finished
WHERE rowid IN (SELECT rowid FROM finished ORDER BY rowid LIMIT $2) AND finished_at < $1
