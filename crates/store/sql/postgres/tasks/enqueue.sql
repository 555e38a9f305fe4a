-- A task that is there already was lost: it becomes free again and keeps its fence, which the next grant raises.
INSERT INTO tasks (run, work, tenant, class, affinity, ready_at, fence, interrupt)
SELECT r.id, e.value->>'work', r.tenant, e.value->>'class', r.affinity, CAST(e.value->>'ready_at' AS BIGINT), 0, 0
FROM jsonb_array_elements($1) AS e (value)
INNER JOIN runs AS r ON r.id = e.value->>'run'
ON CONFLICT (run, work) DO UPDATE
SET ready_at = excluded.ready_at, worker = NULL, lease_until = NULL, interrupt = 0
