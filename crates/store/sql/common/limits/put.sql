UPDATE limits SET arrival = $4 WHERE tenant = $1 AND kind = $2 AND key = $3
