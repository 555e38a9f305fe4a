SELECT COUNT(*) AS held FROM leases WHERE tenant = $1 AND gate = $2
