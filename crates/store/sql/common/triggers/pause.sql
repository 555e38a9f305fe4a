UPDATE triggers SET paused = CAST($3 AS TEXT) WHERE tenant = $1 AND id = $2 AND (paused IS NULL) <> (CAST($3 AS TEXT) IS NULL)
