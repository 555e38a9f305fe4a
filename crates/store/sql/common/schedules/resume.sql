UPDATE schedules SET paused = NULL, updated_at = $3, after_at = $3, next_at = $4, revision = revision + 1
WHERE tenant = $1 AND id = $2 AND paused IS NOT NULL
