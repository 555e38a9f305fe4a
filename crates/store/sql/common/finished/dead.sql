-- Dead letters, latest end first; $2 and $3 are where the page before ended.
SELECT
    id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, finished_at, worker, fate, error, options,
    payload
FROM finished
WHERE tenant = $1 AND payload IS NOT NULL AND (finished_at, id) < ($2, $3)
ORDER BY finished_at DESC, id DESC
LIMIT $4
