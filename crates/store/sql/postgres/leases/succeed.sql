-- Those still held under these fences are over: a record each. What is given back names their limits and keys.
WITH done AS (
    DELETE FROM leases
    WHERE id = ANY($3) AND fence = CAST($4::JSONB->>id AS BIGINT) AND worker = $1 AND run IS NULL
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
