SELECT affinity FROM runs WHERE id = $1 AND tenant = $2
