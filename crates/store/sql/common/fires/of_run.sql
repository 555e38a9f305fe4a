SELECT source, occasion, kind, name, tenant, workflow, version, inputs, depth, cancels, at, decided_at, state, run, detail
FROM fires
WHERE run = $1
