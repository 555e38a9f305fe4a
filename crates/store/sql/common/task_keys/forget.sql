DELETE FROM task_keys WHERE kind = 'idempotency' AND made_at < $1
