UPDATE queue SET affinity = $2 WHERE run = $1
