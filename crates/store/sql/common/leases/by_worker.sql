SELECT worker, class, COUNT(*) AS held, MIN(started_at) AS since FROM leases GROUP BY worker, class ORDER BY worker, class
