SELECT run FROM idempotency WHERE tenant = $1 AND key = $2
