-- Rows are found, and locked, in the order of the primary key, as by everybody who ends leases.
UPDATE leases SET lease_until = $2
WHERE id = ANY($3) AND fence = CAST($4::JSONB->>id AS BIGINT) AND worker = $1
RETURNING id, fence, interrupt
