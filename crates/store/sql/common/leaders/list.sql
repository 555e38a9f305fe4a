SELECT name, worker, epoch, until, position FROM leaders ORDER BY name
