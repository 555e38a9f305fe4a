-- Locked in the order of their ids first, so that two beats cannot wait for each other.
WITH held AS (
    SELECT t.id
    FROM leases AS t
    INNER JOIN unnest($3::TEXT[], $4::BIGINT[]) AS u (id, fence) ON t.id = u.id AND t.fence = u.fence
    WHERE t.worker = $1
    ORDER BY t.id
    FOR UPDATE OF t
)
UPDATE leases SET lease_until = $2
FROM held
WHERE leases.id = held.id
RETURNING leases.id, leases.fence, leases.interrupt
