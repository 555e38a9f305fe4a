SELECT arrival FROM limits WHERE tenant = $1 AND kind = $2 AND key = $3
