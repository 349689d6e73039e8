# Runs the blocks of a page in one shell, as a reader types them. `commands.rs` writes the lines that call
# these functions behind them. For each block there is a directory in $_book_blocks with its commands, and
# with its output when it has run.
set -e

# The process groups of servers in the background, each with its block and its ports: `GROUP BLOCK PORT…`.
_book_servers=()

# What happened, to be read outside: a line for each event.
_book_tell() {
  printf '%s\n' "$*" >>"$_book_blocks/events"
}

# BLOCK begins.
_book_begin() {
  _book_block=$1
  _book_tell begin "$1"
}

# Starts BLOCK, and waits until it has printed a URL. Servers of the same ports are ended before.
_book_background() {
  local block=$1 server port taken kept=() output
  shift
  for server in "${_book_servers[@]}"; do
    taken=
    for port in "$@"; do
      case " ${server#* * } " in *" $port "*) taken=yes ;; esac
    done
    if [ -n "$taken" ]; then _book_end $server; else kept+=("$server"); fi
  done
  output=$_book_blocks/$block/output
  setsid bash -e "$_book_blocks/$block/$_book_page" >"$output" 2>&1 </dev/null &
  local group=$!
  _book_servers=("${kept[@]}" "$group $block $*")
  until grep -q 'http://' "$output"; do
    if ! kill -0 "$group" 2>/dev/null; then
      local status=0
      wait "$group" || status=$?
      _book_servers=("${kept[@]}")
      _book_tell ended "$block" "$status"
      # One that ends well has not listened either.
      exit "$((status ? status : 1))"
    fi
    sleep 0.02
  done
}

# Ends a server and all that it has started: GROUP BLOCK PORT….
_book_end() {
  local group=$1 block=$2 status=0 tries
  if ! kill -0 "$group" 2>/dev/null; then
    wait "$group" || status=$?
    # Somebody ended it, on the page or by a signal of the page; or it has failed.
    [ "$status" -eq 0 ] || _book_tell ended "$block" "$status"
  fi
  kill -TERM -- "-$group" 2>/dev/null || return 0
  for ((tries = 0; tries < 250; tries++)); do
    kill -0 -- "-$group" 2>/dev/null || return 0
    sleep 0.02
  done
  kill -KILL -- "-$group" 2>/dev/null || true
}

_book_end_all() {
  local status=$? server
  trap - ERR EXIT TERM
  set +e
  for server in "${_book_servers[@]}"; do
    _book_end $server
  done
  exit "$status"
}

trap '_book_tell failed "$_book_block" "$?" "$LINENO"' ERR
trap _book_end_all EXIT
trap 'exit 143' TERM
