INSERT INTO steps (run, tenant, name, position, state, doc)
SELECT value->>'run', value->>'tenant', value->>'name', value->>'position', value->>'state', value->'doc'
FROM json_each($1)
WHERE true
ON CONFLICT (run, name) DO UPDATE SET state = excluded.state, doc = excluded.doc
