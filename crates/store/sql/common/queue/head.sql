-- The task of a class that goes next.
SELECT rank, priority FROM queue WHERE state = 'ready' AND class = $1 AND affinity = '' ORDER BY rank LIMIT 1
