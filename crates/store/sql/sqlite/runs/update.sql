UPDATE runs
SET
    head = e.value->'head',
    state = e.value->>'state',
    outcome = e.value->>'outcome',
    canceling = e.value->>'canceling',
    started_at = e.value->>'started_at',
    finished_at = e.value->>'finished_at',
    duration_ms = e.value->>'duration_ms',
    cost_microusd = e.value->>'cost_microusd',
    kind = e.value->>'kind',
    class = e.value->>'class',
    summary = e.value->>'summary',
    cells = e.value->'cells',
    patches = e.value->>'patches',
    search = e.value->>'search'
FROM json_each($1) AS e
WHERE runs.id = e.value->>'id'
