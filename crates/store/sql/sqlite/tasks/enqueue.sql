-- A task that is there already was lost: it becomes free again and keeps its fence, which the next grant raises.
INSERT INTO tasks (run, work, tenant, class, affinity, ready_at, fence, interrupt)
SELECT r.id, e.value->>'work', r.tenant, e.value->>'class', r.affinity, e.value->>'ready_at', 0, 0
FROM json_each($1) AS e
INNER JOIN runs AS r ON r.id = e.value->>'run'
WHERE true
ON CONFLICT (run, work) DO UPDATE
SET ready_at = excluded.ready_at, worker = NULL, lease_until = NULL, interrupt = 0
