# Runs one Postgres server, and ends it when the process that wants it is gone.
#
#   sh -c SCRIPT NAME FOLDER BIN POSTGRES_OPTION...
#
# It gets three files:
#   3  the leash, a pipe: only that process holds the other end
#   4  a pipe that only the server keeps: its end says that the server is gone
#   5  the lock on the folder
folder=$1 bin=$2
shift 2

(
	exec 3<&- 5<&-
	if [ ! -d "$folder/data" ]; then
		"$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync || exit
	fi
	exec "$bin/postgres" -D "$folder/data" "$@"
) &
server=$!
exec 4>&-

# A line says that the server has ended and that its folder is still wanted. The
# pipe's end says that nobody wants it any more.
if read -r _ <&3; then
	wait "$server"
	exit
fi

# The signal is sent until it has worked: the shell starts background jobs with
# SIGQUIT ignored, and postgres sees it only once it has set its handlers.
while kill -QUIT "$server"; do
	sleep 0.1
done 2>/dev/null
rm -rf "$folder"
