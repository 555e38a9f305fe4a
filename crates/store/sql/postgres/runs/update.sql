UPDATE runs
SET
    head = e.value->'head',
    state = e.value->>'state',
    outcome = e.value->>'outcome',
    canceling = CAST(e.value->>'canceling' AS BIGINT),
    started_at = CAST(e.value->>'started_at' AS BIGINT),
    finished_at = CAST(e.value->>'finished_at' AS BIGINT),
    duration_ms = CAST(e.value->>'duration_ms' AS BIGINT),
    cost_microusd = CAST(e.value->>'cost_microusd' AS BIGINT),
    kind = e.value->>'kind',
    class = e.value->>'class',
    summary = e.value->>'summary',
    cells = e.value->'cells',
    patches = CAST(e.value->>'patches' AS BIGINT),
    search = e.value->>'search'
FROM jsonb_array_elements($1) AS e (value)
WHERE runs.id = e.value->>'id'
