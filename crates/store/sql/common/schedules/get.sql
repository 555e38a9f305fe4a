SELECT s.id, s.tenant, s.name, s.workflow, s.version, s.inputs, s.doc, s.actor, s.created_at, s.updated_at,
    s.revision, s.paused, s.after_at, s.waiting_at, s.next_at
FROM schedules AS s
WHERE s.tenant = $1 AND (s.id = $2 OR s.name = $2)
