-- What is finished stays as it is: the caller compares the number of rows written.
INSERT INTO repairs (run, tenant, step, number, state, doc)
SELECT
    value->>'run', value->>'tenant', value->>'step', CAST(value->>'number' AS BIGINT), value->>'state', value->'doc'
FROM jsonb_array_elements($1) AS e (value)
ON CONFLICT (run, step, number) DO UPDATE SET state = excluded.state, doc = excluded.doc
WHERE repairs.state <> 'finished'
