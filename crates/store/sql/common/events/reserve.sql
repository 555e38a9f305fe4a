UPDATE counters SET value = value + $1 WHERE name = 'events' RETURNING value
