DELETE FROM leases WHERE id = ANY($1)
