DELETE FROM triggers WHERE tenant = $1 AND id = $2
