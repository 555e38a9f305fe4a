UPDATE leaders SET until = $3
WHERE until > $3 AND worker IN (SELECT id FROM workers WHERE node = $1 AND id <> $2)
