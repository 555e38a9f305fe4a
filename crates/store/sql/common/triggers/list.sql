SELECT t.id, t.tenant, t.name, t.kind, t.subject, t.workflow, t.version, t.doc, t.actor, t.created_at, t.paused
FROM triggers AS t
WHERE t.tenant = $1
ORDER BY t.name
