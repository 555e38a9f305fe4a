SELECT task FROM task_keys WHERE tenant = $1 AND kind = $2 AND key = $3
