UPDATE leases SET interrupt = 1 WHERE id = $1
