SELECT
    id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, finished_at, worker, fate, error, options,
    payload
FROM finished
WHERE tenant = $1 AND id = $2
ORDER BY finished_at DESC
LIMIT 1
