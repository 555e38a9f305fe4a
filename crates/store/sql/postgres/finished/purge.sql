-- A bounded part of what is older than the moment.
DELETE FROM finished
WHERE (tableoid, ctid) IN (SELECT f.tableoid, f.ctid FROM finished AS f WHERE f.finished_at < $1 LIMIT $2)
