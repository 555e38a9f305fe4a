SELECT id FROM leases WHERE worker = $1 AND interrupt = 1
