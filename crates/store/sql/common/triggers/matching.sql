SELECT t.id, t.tenant, t.name, t.kind, t.subject, t.workflow, t.version, t.doc, t.actor, t.created_at, t.paused
FROM triggers AS t
WHERE t.tenant = $1 AND t.kind = $2 AND t.subject IN ($3, '') AND t.paused IS NULL
ORDER BY t.created_at, t.id
LIMIT $4
