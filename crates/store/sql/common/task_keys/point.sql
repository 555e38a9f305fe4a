UPDATE task_keys SET task = $4 WHERE tenant = $1 AND kind = $2 AND key = $3
