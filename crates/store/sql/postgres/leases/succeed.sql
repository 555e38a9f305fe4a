-- Those still held under these fences are over: a record each. What is given back names their limits and keys.
WITH done AS (
    DELETE FROM leases
    USING unnest($3::TEXT[], $4::BIGINT[]) AS u (id, fence)
    WHERE leases.id = u.id AND leases.fence = u.fence AND leases.worker = $1 AND leases.run IS NULL
    RETURNING leases.*
),
recorded AS (
    INSERT INTO finished (
        id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, finished_at, worker, fate, error, gate, options,
    payload
    )
    SELECT
        id, tenant, kind, class, priority, failures, losses, enqueued_at, started_at, $2, worker, 'succeeded', NULL, gate,
        NULL, NULL
    FROM done
)
SELECT id, fence, tenant, gate, options, failures, losses FROM done
