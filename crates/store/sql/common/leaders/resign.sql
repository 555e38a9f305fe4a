UPDATE leaders SET until = $3 WHERE name = $1 AND epoch = $2
