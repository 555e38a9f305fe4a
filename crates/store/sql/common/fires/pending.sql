SELECT source, occasion, kind, name, tenant, workflow, version, inputs, depth, cancels, at, decided_at, state, run, detail
FROM fires
WHERE state = 'pending'
ORDER BY decided_at, at, source, occasion
LIMIT $1
