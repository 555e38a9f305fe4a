#!/bin/sh
# Waits until a server answers on a port. How long is left to the caller, which is the mistake.
set -eu
port=$1
echo "waiting for port $port"
until python3 -c "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1)" "$port" 2>/dev/null; do
    sleep 0.2
done
echo "port $port answers"
