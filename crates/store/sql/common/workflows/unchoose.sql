UPDATE workflow_names SET is_current = 0 WHERE tenant = $1 AND name = $2 AND is_current = 1 AND version <> $3
