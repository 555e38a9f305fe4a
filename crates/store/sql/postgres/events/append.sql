INSERT INTO events (seq, tenant, run, at, event, step, doc)
SELECT
    CAST(value->>'seq' AS BIGINT), value->>'tenant', value->>'run', CAST(value->>'at' AS BIGINT),
    value->>'event', value->>'step', value->'doc'
FROM jsonb_array_elements($1) AS e (value)
