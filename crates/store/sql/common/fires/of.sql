SELECT source, occasion, kind, name, tenant, workflow, version, inputs, depth, cancels, at, decided_at, state, run, detail
FROM fires
WHERE tenant = $1 AND source = $2
ORDER BY at DESC, occasion DESC
LIMIT $3
