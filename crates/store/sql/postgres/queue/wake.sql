-- Tasks that wait for their time become ready; one that is ready, blocked, held or gone stays as it is.
UPDATE queue SET ready_at = $1, state = 'ready'
FROM unnest($2::TEXT[], $3::TEXT[]) AS u (run, work)
WHERE queue.state = 'delayed' AND queue.ready_at > $1 AND queue.run = u.run AND queue.work = u.work
