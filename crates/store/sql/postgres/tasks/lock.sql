SELECT fence, worker FROM tasks WHERE run = $1 AND work = $2 FOR UPDATE
