-- Whole runs in one statement, so that no reader sees a step of before with an attempt of after.
SELECT
    r.id, r.tenant, r.source, r.origin, r.head, w.doc AS workflow,
    (
        SELECT json_group_array(json_object('name', s.name, 'state', json(s.doc)) ORDER BY s.position)
        FROM steps AS s WHERE s.run = r.id
    ) AS steps,
    (
        SELECT json_group_array(json_object('step', a.step, 'doc', json(a.doc)) ORDER BY a.step, a.number)
        FROM attempts AS a WHERE a.run = r.id
    ) AS attempts,
    (
        SELECT json_group_array(json_object('step', p.step, 'doc', json(p.doc)) ORDER BY p.step, p.number)
        FROM repairs AS p WHERE p.run = r.id
    ) AS repairs
FROM runs AS r
INNER JOIN workflows AS w ON r.digest = w.digest
WHERE r.id IN (SELECT value FROM json_each($1))
ORDER BY r.id
