#!/bin/bash
# {{ name }}: rendered by launch.submit. Runs on every host of the TPU {{ job.tpu }}, as one run, whoever stays connected.
#
#   bash SCRIPT            copies the code, sets it up, starts the run, and follows what host 0 says
#   bash SCRIPT follow     follows it again
#   bash SCRIPT stop       asks all hosts to save and end
set -euo pipefail

where=({{ job.tpu | quote }} --zone={{ job.zone | quote }}{% if job.project %} --project={{ job.project | quote }}{% endif %})
on() { gcloud compute tpus tpu-vm ssh "${where[@]}" --worker="$1" --command="$2"; }
follow() { on 0 {{ ("sudo journalctl --unit=" + name + " --follow --lines=100 --output=cat") | quote }}; }

case "${1:-start}" in
  follow) follow ;;
  stop) on all {{ ("sudo systemctl stop " + name) | quote }} ;;
  start)
    # the code as it was committed: every host has the same, or the run refuses to begin
    bundle=$(mktemp --suffix=.tar.gz)
    git -C {{ home | quote }} archive --format=tar.gz --output="$bundle" {{ commit }}
    gcloud compute tpus tpu-vm scp "$bundle" "{{ job.tpu }}:{{ name }}.tar.gz" "${where[@]:1}" --worker=all
    rm "$bundle"
    on all {{ setup | quote }}
    # a unit of systemd outlives this connection. 0, 2, 3 and 4 are final; 75 and crashes are run again by launch.again
    on all {{ start | quote }}
    follow
    ;;
  *)
    echo "error: $1 is not one of start, follow and stop" >&2
    exit 2
    ;;
esac
