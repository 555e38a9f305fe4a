-- A task of a run. One that is there already was lost and put back: it waits for its new time and keeps its fence.
INSERT INTO queue (
    id, tenant, kind, class, priority, affinity, rank, ready_at, enqueued_at, fence, failures, losses, reserved, run, work,
    gate, options, payload, state
)
SELECT
    e.value->>0, r.tenant, e.value->>3, e.value->>4, 'normal', r.affinity, e.value->>5, e.value->>6, $1, 0, 0, 0, 0, r.id,
    e.value->>2, NULL, NULL, '{}', CASE WHEN e.value->>6 <= $1 THEN 'ready' ELSE 'delayed' END
FROM json_each($2) AS e
INNER JOIN runs AS r ON r.id = e.value->>1
WHERE true
ON CONFLICT (run, work) WHERE run IS NOT NULL DO UPDATE
SET ready_at = excluded.ready_at, state = excluded.state
