SELECT state, COUNT(*) AS n FROM runs WHERE tenant = $1 GROUP BY state
