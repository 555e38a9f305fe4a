INSERT INTO runs (
    id, tenant, digest, workflow, project, commit_id, actor, affinity, created_at, source,
    head, state, canceling, cost_microusd, cells, patches, search, origin
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'pending', 0, 0, $12, 0, '', $13)
