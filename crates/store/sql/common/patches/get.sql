SELECT diff FROM patches WHERE digest = $1
