DELETE FROM queue
WHERE run IS NOT NULL AND (run, work) IN (SELECT value->>0, value->>1 FROM json_each($1))
