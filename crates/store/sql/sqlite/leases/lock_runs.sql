SELECT id FROM leases WHERE run IN (SELECT value FROM json_each($1)) ORDER BY id
