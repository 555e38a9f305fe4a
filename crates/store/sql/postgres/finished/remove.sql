DELETE FROM finished WHERE id = ANY($1)
