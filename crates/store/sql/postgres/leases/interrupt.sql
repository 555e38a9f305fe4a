UPDATE leases SET interrupt = 1
FROM unnest($1::TEXT[], $2::TEXT[]) AS u (run, work)
WHERE leases.run = u.run AND leases.work = u.work
