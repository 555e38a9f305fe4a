UPDATE schedules SET paused = $3, updated_at = $4, waiting_at = NULL, revision = revision + 1
WHERE tenant = $1 AND id = $2 AND paused IS NULL
