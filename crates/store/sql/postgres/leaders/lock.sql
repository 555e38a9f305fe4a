SELECT position FROM leaders WHERE name = $1 AND epoch = $2 FOR UPDATE
