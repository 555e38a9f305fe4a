SELECT seq, run, at, doc FROM events WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3
