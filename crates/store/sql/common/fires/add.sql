-- Whoever decides the same start again finds it decided.
INSERT INTO fires (
    source, occasion, kind, name, tenant, workflow, version, inputs, depth, cancels, at, decided_at, state, detail
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (source, occasion) DO NOTHING
