UPDATE schedules
SET workflow = $4, version = $5, inputs = $6, doc = $7, actor = $8, updated_at = $9, after_at = $9, waiting_at = NULL,
    next_at = $10, revision = revision + 1
WHERE tenant = $1 AND id = $2 AND revision = $3
