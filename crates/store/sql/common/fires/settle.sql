UPDATE fires SET state = $3, run = $4, detail = $5 WHERE source = $1 AND occasion = $2 AND state = 'pending'
