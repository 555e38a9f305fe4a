UPDATE leases SET lease_until = $2
FROM json_each($3) AS e
WHERE leases.id = e.value->>0 AND leases.fence = e.value->>1 AND leases.worker = $1
RETURNING leases.id, leases.fence, leases.interrupt
