SELECT version, is_current FROM workflow_names WHERE tenant = $1 AND name = $2 AND digest = $3
