SELECT
    id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, finished_at, worker, fate, error, options,
    payload
FROM finished
WHERE tenant = $1 AND payload IS NOT NULL AND id IN (SELECT value FROM json_each($2))
ORDER BY id
