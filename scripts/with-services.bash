# For the scripts that run tests: `. scripts/with-services.bash`, then `with_services COMMAND [ARGUMENT...]`.
#
# Starts a Kafka and a PostgreSQL for this command alone, runs it and stops them, whatever happens: this shell's traps on
# EXIT, INT, TERM and HUP are taken. The command finds the services in DAYBOOK_BROKERS and DAYBOOK_DATABASE, and in DAYBOOK_RUN_DIR
# a folder to write to. Returns its status. The services' logs stay when it failed.

services_run_dir=""
services_command=""

stop_services() {
  trap '' INT TERM HUP
  if [ -n "$services_command" ] && kill -TERM -- "-$services_command" 2>/dev/null; then wait "$services_command" || true; fi
  [ -z "$services_run_dir" ] || scripts/services stop "$services_run_dir"
}
trap stop_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

with_services() {
  local status=0 run_dir
  mkdir -p run
  services_run_dir=$(mktemp -d "$PWD/run/test.XXXXXX")
  scripts/services start "$services_run_dir" || return
  set -a
  . "$services_run_dir/env"
  set +a
  export DAYBOOK_RUN_DIR=$services_run_dir

  # A session of its own, so that an interrupt ends the command with everything that it started.
  setsid "$@" </dev/null &
  services_command=$!
  wait "$services_command" || status=$?
  services_command=""

  scripts/services stop "$services_run_dir"
  run_dir=$services_run_dir
  services_run_dir=""
  if [ "$status" -eq 0 ]; then
    rm -rf "$run_dir"
  else
    rm -rf "$run_dir"/{kafka,postgresql}
    echo "the logs of Kafka and PostgreSQL are in $run_dir"
  fi
  return "$status"
}
