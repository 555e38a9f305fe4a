-- What is finished stays as it is: the caller compares the number of rows written.
INSERT INTO repairs (run, tenant, step, number, state, doc)
SELECT value->>'run', value->>'tenant', value->>'step', value->>'number', value->>'state', value->'doc'
FROM json_each($1)
WHERE true
ON CONFLICT (run, step, number) DO UPDATE SET state = excluded.state, doc = excluded.doc
WHERE repairs.state <> 'finished'
