SELECT e.seq, e.tenant, e.run, e.at, r.workflow, r.outcome, r.project, COALESCE(f.depth, 0) AS depth
FROM events AS e
INNER JOIN runs AS r ON r.id = e.run
LEFT JOIN fires AS f ON f.run = e.run
WHERE e.seq > $1 AND e.seq <= $2 AND e.event = 'run.finished'
ORDER BY e.seq
