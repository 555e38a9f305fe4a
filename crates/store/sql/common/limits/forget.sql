-- Keys whose state says no more than none would, and that nobody holds.
DELETE FROM limits
WHERE COALESCE(arrival, 0) < $1
    AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.tenant = limits.tenant AND leases.gate = limits.key)
