#!/bin/bash
# gen-a-run: rendered by launch.submit. Runs on every host of the TPU pod, as one run, whoever stays connected.
#
#   bash SCRIPT            copies the code, sets it up, starts the run, and follows what host 0 says
#   bash SCRIPT follow     follows it again
#   bash SCRIPT stop       asks all hosts to save and end
set -euo pipefail

where=(pod --zone=us-east5-a --project=lab)
on() { gcloud compute tpus tpu-vm ssh "${where[@]}" --worker="$1" --command="$2"; }
follow() { on 0 'sudo journalctl --unit=gen-a-run --follow --lines=100 --output=cat'; }

case "${1:-start}" in
  follow) follow ;;
  stop) on all 'sudo systemctl stop gen-a-run' ;;
  start)
    # the code as it was committed: every host has the same, or the run refuses to begin
    bundle=$(mktemp --suffix=.tar.gz)
    git -C /home/me/gen archive --format=tar.gz --output="$bundle" 0123abc
    gcloud compute tpus tpu-vm scp "$bundle" "pod:gen-a-run.tar.gz" "${where[@]:1}" --worker=all
    rm "$bundle"
    on all 'if systemctl is-active --quiet gen-a-run; then echo "gen-a-run runs already: stop it first" >&2; exit 1; fi; rm -rf $HOME/.gen/a-run && mkdir -p $HOME/.gen/a-run && tar --extract --gzip --file=gen-a-run.tar.gz --directory=$HOME/.gen/a-run && cd $HOME/.gen/a-run && make .venv/ready && .uv/bin/uv sync --frozen --inexact --group dev --extra tpu'
    # a unit of systemd outlives this connection. 0, 2, 3 and 4 are final; 75 and crashes are run again by launch.again
    on all 'sudo systemd-run --unit=gen-a-run --uid=$USER --collect --property=TimeoutStopSec=600 --property=KillMode=mixed --working-directory=$HOME/.gen/a-run $HOME/.gen/a-run/.venv/bin/python -m launch.again -- .venv/bin/python -m launch.train --config=configs/lm/gpt2.py:tiny '"'"'--workdir=/shared/runs/a run'"'"' --config.train.steps=10 '"'"'--config.data.source=text:it'"'"'"'"'"'"'"'"'s'"'"''
    follow
    ;;
  *)
    echo "error: $1 is not one of start, follow and stop" >&2
    exit 2
    ;;
esac
