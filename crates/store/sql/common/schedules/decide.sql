UPDATE schedules SET after_at = $3, waiting_at = $4, next_at = $5
WHERE id = $1 AND revision = $2 AND paused IS NULL
