UPDATE workflow_names SET is_current = 1, chosen_at = $4, chosen_by = $5
WHERE tenant = $1 AND name = $2 AND version = $3 AND is_current = 0
