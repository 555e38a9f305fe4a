-- One look-up for each id, in the order of the ids, so that two of these cannot wait for each other.
WITH held AS MATERIALIZED (
    SELECT l.ctid
    FROM unnest($3::TEXT[], $4::BIGINT[]) AS u (id, fence)
    CROSS JOIN LATERAL (
        SELECT leases.ctid FROM leases
        WHERE leases.id = u.id AND leases.fence = u.fence AND leases.worker = $1
        FOR UPDATE
    ) AS l
)
UPDATE leases SET lease_until = $2
FROM held
WHERE leases.ctid = held.ctid
RETURNING leases.id, leases.fence, leases.interrupt
