-- The epoch stays while the same holder renews in time; whoever takes over, or comes back too late, gets the next one.
INSERT INTO leaders (name, worker, epoch, until, position)
VALUES ($1, $2, 1, $4, (SELECT value FROM counters WHERE name = 'events'))
ON CONFLICT (name) DO UPDATE
SET worker = excluded.worker,
    until = excluded.until,
    epoch = leaders.epoch + CASE WHEN leaders.worker = excluded.worker AND leaders.until > $3 THEN 0 ELSE 1 END
WHERE leaders.worker = excluded.worker OR leaders.until <= $3
RETURNING epoch
