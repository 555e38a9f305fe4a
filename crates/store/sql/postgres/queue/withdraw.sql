DELETE FROM queue
USING unnest($1::TEXT[], $2::TEXT[]) AS u (run, work)
WHERE queue.run = u.run AND queue.work = u.work
