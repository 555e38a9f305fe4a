UPDATE runs SET affinity = $2 WHERE id = $1
