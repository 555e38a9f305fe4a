INSERT INTO events (seq, tenant, run, at, event, step, doc)
SELECT
    value->>'seq', value->>'tenant', value->>'run', value->>'at', value->>'event', value->>'step', value->'doc'
FROM json_each($1)
