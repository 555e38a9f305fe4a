-- Those still held under these fences are over: a record each. What is given back names their limits and keys.
-- LATERAL with a lock keeps the order of the join: one look-up for each id, whatever the planner believes of a table that
-- was empty when it was last counted. Sorted by id, so that two of these cannot wait for each other.
WITH held AS MATERIALIZED (
    SELECT l.ctid
    FROM unnest($3::TEXT[], $4::BIGINT[]) AS u (id, fence)
    CROSS JOIN LATERAL (
        SELECT leases.ctid FROM leases
        WHERE leases.id = u.id AND leases.fence = u.fence AND leases.worker = $1 AND leases.run IS NULL
        FOR UPDATE
    ) AS l
),
done AS (
    DELETE FROM leases USING held WHERE leases.ctid = held.ctid RETURNING leases.*
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
