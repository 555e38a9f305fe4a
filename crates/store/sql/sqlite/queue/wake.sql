-- Tasks that wait for their time become ready; one that is ready, blocked, held or gone stays as it is.
UPDATE queue SET ready_at = $1, state = 'ready'
WHERE state = 'delayed' AND ready_at > $1 AND run IS NOT NULL
    AND (run, work) IN (SELECT value->>0, value->>1 FROM json_each($2))
