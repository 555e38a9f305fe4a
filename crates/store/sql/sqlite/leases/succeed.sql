-- Those still held under these fences; `leases/record` and `leases/remove` end them in the same transaction, at $2.
SELECT leases.id, leases.fence, leases.tenant, leases.gate, leases.options, leases.failures, leases.losses
FROM json_each($3) AS e
CROSS JOIN leases ON leases.id = e.value->>0
WHERE leases.fence = e.value->>1 AND leases.worker = $1 AND leases.run IS NULL AND $2 IS NOT NULL
