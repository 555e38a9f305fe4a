-- Nothing is inserted when the key is taken; a transaction that is about to take it is waited for.
INSERT INTO idempotency (tenant, key, run, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, key) DO NOTHING
