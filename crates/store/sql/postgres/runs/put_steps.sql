INSERT INTO steps (run, tenant, name, position, state, doc)
SELECT
    value->>'run', value->>'tenant', value->>'name', CAST(value->>'position' AS BIGINT), value->>'state', value->'doc'
FROM jsonb_array_elements($1) AS e (value)
ON CONFLICT (run, name) DO UPDATE SET state = excluded.state, doc = excluded.doc
