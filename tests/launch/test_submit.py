"""What launch.submit makes of a train command for each back end, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api.models import JobsetV1alpha2JobSet

from gen import config
from gen.sweep import sweep_dir
from launch.clusters import jobset, request, settings, slurm, slurm_array, tpu_vm
from launch.clusters.render import HERE, render

GOLDEN = Path(__file__).parent / "golden"
TRAIN = ("python", "-m", "launch.train", "--config=configs/lm/gpt2.py:tiny", "--workdir=/shared/runs/a run")
PYTHON = sys.executable
REST = ("--config.train.steps=10", "--config.data.source=text:it's")
BACKENDS = {"slurm": slurm, "jobset": jobset, "tpu-vm": tpu_vm}
CASES = {
    "slurm.sbatch": (slurm, slurm.Job()),
    "slurm-full.sbatch": (
        slurm,
        slurm.Job("lab", "gpu", 4, 8, 8, 12, "1-00:00:00", 120, ("export A=1,2",), ("--exclude=n1,n2",)),
    ),
    "jobset-gpu.yaml": (jobset, jobset.Job(image="registry/gen:1", claim="work", hosts=2, gpus=8, queue="team")),
    "jobset-tpu.yaml": (
        jobset,
        jobset.Job(image="registry/gen:1", claim="work", tpu_type="tpu-v5p-slice", tpu_topology="4x4x4", tpus=4),
    ),
    "tpu_vm.sh": (tpu_vm, tpu_vm.Job(tpu="pod", zone="us-east5-a", project="lab")),
}


@pytest.fixture(autouse=True)
def one_machine(monkeypatch):
    """Scripts name the interpreter, the directory and the commit of whoever submits."""
    monkeypatch.setattr(sys, "executable", "/home/me/gen/.venv/bin/python")
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/me/gen"))
    monkeypatch.setattr(tpu_vm, "commit", lambda here: "0123abc")


def read(*words):
    return request.read(words, slurm.PROGRAMS)


def text_of(name):
    backend, job = CASES[name]
    return backend.script(read(*TRAIN, *REST), job, None)


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered_is_what_was_read_and_found_good(name):
    assert text_of(name) == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("jobset")])
def test_kubernetes_knows_every_key(name):
    """The schemas are those that packages carry; a key that a model does not know is lost on the way through it."""
    *others, job_set = yaml.safe_load_all(text_of(name))
    assert [other["kind"] for other in others] == ["ServiceAccount", "Role", "RoleBinding"]
    (replicated,) = job_set["spec"]["replicatedJobs"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "run"}, "spec": replicated["template"]["spec"]}
    for document in (*others, job):
        kubernetes_validate.validate(document, "1.34", strict=True)
    assert covers(JobsetV1alpha2JobSet.from_dict(job_set).to_dict(), job_set)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == [*TRAIN, *REST]


def covers(whole, part):
    """Whether every key and value of `part` is in `whole`."""
    if isinstance(part, dict):
        return all(key in whole and covers(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(covers, whole, part))
    return whole == part


def test_a_key_that_kubernetes_does_not_know_would_be_found():
    *_, job_set = yaml.safe_load_all(text_of("jobset-gpu.yaml"))
    job_set["spec"]["replicatedJobs"][0]["template"]["spec"]["podFailurePolicies"] = {}
    assert not covers(JobsetV1alpha2JobSet.from_dict(job_set).to_dict(), job_set)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a program that notes how it is called, and then does `body`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def make(name, body=""):
        path = tmp_path / "bin" / name
        calls = tmp_path / f"{name}.calls"
        path.write_text(f'#!/bin/bash\nprintf "%s\\n" "$*" >> {calls}\n{body}\n')
        path.chmod(0o755)
        return lambda: calls.read_text().splitlines() if calls.exists() else []

    return make


@pytest.mark.parametrize(
    ("statuses", "end", "started", "requeued"),
    [
        ((0,), 0, 1, 0),
        ((2,), 2, 1, 0),
        ((3,), 3, 1, 0),
        ((4,), 4, 1, 0),
        ((75,), 75, 1, 1),
        ((143,), 75, 1, 1),
        ((137, 69, 0), 0, 3, 0),
    ],
)
def test_the_script_of_slurm_obeys_exit_statuses(program, tmp_path, monkeypatch, statuses, end, started, requeued):
    root = Path(__file__).parents[2]
    monkeypatch.setattr(Path, "cwd", lambda: root)
    monkeypatch.setattr(sys, "executable", PYTHON)
    left = tmp_path / "statuses"
    left.write_text("".join(f"{code}\n" for code in statuses))
    srun = program("srun", f"code=$(head -1 {left}); sed -i 1d {left}; exit $code")
    scontrol = program("scontrol")
    script = slurm.script(read("-m", "launch.train", f"--workdir={tmp_path}/run"), slurm.Job(), None)
    done = subprocess.run(["bash", "-s"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == end, done.stderr
    assert len(srun()) == started and scontrol() == ["requeue 7"] * requeued
    assert srun()[0].endswith(f"-m launch.train --workdir={tmp_path}/run")


def test_a_job_of_an_array_goes_back_into_the_queue_by_itself(program, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")  # as is, of one of them, SLURM_JOB_ID
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setattr(Path, "cwd", lambda: Path(__file__).parents[2])
    monkeypatch.setattr(sys, "executable", PYTHON)
    (tmp_path / "trials").mkdir()
    sweep = sweep_dir.Sweep(tmp_path, "c.py", "sweep", [], {}, {"aa": {"seed": 1}, "bb": {"seed": 2}})
    (tmp_path / "list").write_text("".join(slurm_array.line(sweep, trial) + "\n" for trial in sweep.trials))
    srun, scontrol = program("srun", "echo begun; exit 75"), program("scontrol")
    script = slurm_array.script(sweep, slurm.Job(), slurm_array.SlurmArray(str(tmp_path / "list"), 2, 0))
    done = subprocess.run(["bash", "-s"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 75 and scontrol() == ["requeue 7_2"] and srun()[0].endswith("--config.seed=2")
    assert (tmp_path / "trials" / "bb.log").read_text() == "begun\n" and done.stdout == ""


def test_tpu_hosts_get_the_code_and_are_started_and_stopped(program, tmp_path):
    gcloud, git, bash = program("gcloud"), program("git"), lambda *words: run_script(text_of("tpu_vm.sh"), *words)
    assert bash().returncode == 0
    assert git() == [f"-C /home/me/gen archive --format=tar.gz --output={bundle(git)} 0123abc"]
    verbs = [call.removeprefix("compute tpus tpu-vm ").split(" --command=")[0] for call in gcloud()]
    where = "pod --zone=us-east5-a --project=lab"
    assert "if systemctl is-active --quiet gen-a-run" in gcloud()[1] and "rm -rf $HOME/.gen/a-run" in gcloud()[1]
    assert verbs == [
        f"scp {bundle(git)} pod:gen-a-run.tar.gz --zone=us-east5-a --project=lab --worker=all",
        *[f"ssh {where} --worker=all"] * 2,
        f"ssh {where} --worker=0",
    ]
    assert "$HOME/.gen/a-run/.venv/bin/python -m launch.again -- .venv/bin/python -m launch.train" in gcloud()[2]
    assert bash("stop").returncode == 0 and gcloud()[-1].endswith(
        "--worker=all --command=sudo systemctl stop gen-a-run"
    )
    assert bash("follow").returncode == 0 and "journalctl" in gcloud()[-1]
    assert bash("begin").returncode == 2 and len(gcloud()) == 6


def test_who_has_seen_enough_of_a_tpu_is_told_how_to_come_back(program, monkeypatch):
    program("gcloud")
    monkeypatch.setattr(subprocess, "run", interrupted)
    said = tpu_vm.submit(read(*TRAIN), tpu_vm.Job("pod", "zone"), "")
    assert said == "a-run runs on pod; add --print > pod.sh to follow or stop it"


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_what_hosts_run_survives_two_shells(program):
    """The command is a word of ssh's, and a line of the shell at the other end."""
    gcloud = program("gcloud")
    program("git")
    run_script(text_of("tpu_vm.sh"))
    program("sudo", 'printf "<%s>" "${@: -2}"')
    line = gcloud()[2].split("--command=")[1]
    said = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    assert said == "<--config.train.steps=10><--config.data.source=text:it's>"


def bundle(git):
    return git()[0].split("--output=")[1].split()[0]


def run_script(text, *words):
    return subprocess.run(["bash", "-s", *words], input=text, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("0", float("inf")),
        ("UNLIMITED", float("inf")),
        ("90", 5400),
        ("1:30", 90),
        ("2:00:00", 7200),
        ("1-00", 86400),
        ("1-2:03", 93780),
        ("1-00:00:01", 86401),
    ],
)
def test_times_are_read_as_slurm_does(time, seconds):
    assert slurm.seconds(time) == seconds


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("time", "5")], "less than twice the 300 seconds of job.notice"),
        ([("time", "soon")], "is not a time of Slurm's"),
        ([("gpus", "8"), ("tasks", "4")], "job.tasks=4 with job.gpus=8: a node has one process"),
        ([("nodes", "0")], "job.nodes=0 must be at least 1"),
        ([("node", "1")], "there is no --job.node; did you mean 'nodes'"),
    ],
)
def test_settings_of_slurm_that_make_no_sense(pairs, said):
    with pytest.raises(ValueError, match=said):
        settings.build(slurm.Job, pairs)


def test_settings_that_may_be_repeated_are_lines_as_they_are_typed():
    lines = ['export A="x, y"', "module load cuda"]
    job = settings.build(slurm.Job, [*(("setup", line) for line in lines), ("sbatch", "--exclude=n1,n2")])
    assert job.setup == tuple(lines) and job.sbatch == ("--exclude=n1,n2",)
    assert f"\n{lines[0]}\n{lines[1]}\n" in slurm.script(read(*TRAIN), job, None)


def test_shares_of_a_list_end_when_they_do():
    listed = read("-m", "launch.sample", "--workdir=x", "--prompts=p.txt")
    assert "--wait=0 " in slurm.script(listed, slurm.Job(), None)
    with pytest.raises(ValueError, match="launch.sample is not run by this cluster"):
        request.read(["-m", "launch.sample", "--workdir=x"], jobset.PROGRAMS)


def test_a_name_is_one_that_kubernetes_takes():
    assert request.read(["-m", "launch.train", "--workdir=/shared/125 M"], jobset.PROGRAMS).name == "run-125-m"
    with pytest.raises(ValueError, match="at most 40"):
        request.read(["-m", "launch.train", "--workdir=x"], jobset.PROGRAMS, "9lives")


def test_ones_own_template_may_need_more_than_gens(tmp_path):
    own = tmp_path / "site.sbatch"
    own.write_text('#SBATCH --account={{ job.account | needed("account") }}\n{{ command }}\n')
    asked = read(*TRAIN)
    assert slurm.script(asked, slurm.Job(account="lab"), str(own)).startswith("#SBATCH --account=lab\n/home/me/gen")
    with pytest.raises(ValueError, match=r"site\.sbatch: this template needs --job\.account"):
        slurm.script(asked, slurm.Job(), str(own))
    own.write_text("{{ job.acount }}")
    with pytest.raises(ValueError, match=r"site\.sbatch: .*no attribute 'acount'"):
        slurm.script(asked, slurm.Job(), str(own))
    own.write_text("\n{% if %}")
    with pytest.raises(ValueError, match=r"site\.sbatch, line 2: "):
        slurm.script(asked, slurm.Job(), str(own))
    with pytest.raises(ValueError, match="--template=.*nowhere: there is no file"):
        render("slurm.sbatch", {}, str(tmp_path / "nowhere"))
    assert {path.name for path in HERE.glob("*.s*")} == {"slurm.sbatch", "tpu_vm.sh"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "after -- follows a program of gen's: as -- python -m launch.train"),
        (("python", "train.py"), "'python train.py' is none; as -- python -m launch.train"),
        ((*TRAIN, "--process=1"), "--process stands behind --, where the cluster says it to each process"),
        (("python", "-m", "launch.trian", "--workdir=x"), "did you mean 'launch.train'"),
        (("python", "-m", "launch.train"), "--workdir is missing behind launch.train"),
        ((*TRAIN, "--job.gpus=8"), "--job.gpus=8 stands behind --, where launch.train would get it"),
        ((*TRAIN, "--heartbeet=5"), "launch.train: Unknown command line flag 'heartbeet'. Did you mean: heartbeat"),
        ((*TRAIN, "--heartbeat=five"), "launch.train: flag --heartbeat=five"),
        ((*TRAIN, "more"), "launch.train: 'more' is not understood"),
        (("python", "-m", "launch.train", "--workdir=x/Ü"), "--name=: use at most 40"),
    ],
)
def test_what_is_no_train_command_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        read(*words)


def test_the_config_is_read_before_anything_is_queued(tmp_path):
    of = lambda *words: read("-m", "launch.train", f"--workdir={tmp_path}/run", *words)
    with pytest.raises(ValueError, match="model.transformer.layrs.*did you mean 'layers'"):
        request.check(of("--config=configs/lm/gpt2.py:tiny", "--config.model.transformer.layrs=3"), seen=True)
    for wrong, said in (("transformer.heads=5", "heads=5 must divide"), ("transformer.heads=3", "heads=3 must divide")):
        with pytest.raises(ValueError, match=said):
            request.check(of("--config=configs/lm/gpt2.py:tiny", f"--config.model.{wrong}"), seen=True)
    with pytest.raises(ValueError, match="not divisible by train.accumulate=3"):
        request.check(of("--config=configs/lm/gpt2.py:tiny", "--config.train.accumulate=3"), seen=True)
    with pytest.raises(ValueError, match="--config is missing"):
        request.check(of(), seen=True)
    tuned = of("--config=configs/chat/sft.py", f"--config.upstream.base={tmp_path}/base")
    with pytest.raises(ValueError, match="there is no directory .*base"):
        request.check(tuned, seen=True)
    assert "base is not seen from here" in request.check(tuned, seen=False)[0]
    assert request.check(of("--config=configs/lm/gpt2.py:tiny"), seen=True) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "--job.image is missing"),
        ({"image": "x"}, "--job.claim is missing"),
        ({"image": "x", "claim": "y", "mount": "/data"}, "is not under /data"),
        ({"image": "x", "claim": "y", "tpus": "4"}, "a TPU needs all of"),
        ({"image": "x", "claim": "y", "tpus": "4", "tpu_type": "a", "tpu_topology": "4by4"}, "is not the shape"),
        ({"image": "x", "claim": "y", "tpus": "3", "tpu_type": "a", "tpu_topology": "4x4"}, "do not divide the 16"),
    ],
)
def test_a_job_set_without_what_it_needs_is_refused(settings, said):
    job = config.build(jobset.Job, settings, "job")
    with pytest.raises(ValueError, match=said):
        jobset.script(read(*TRAIN), job, None)


def test_a_tpu_pod_needs_its_name_and_a_directory_that_all_hosts_see():
    for job, said in (
        (tpu_vm.Job(), "--job.tpu is missing"),
        (tpu_vm.Job(tpu="pod"), "--job.zone is missing"),
    ):
        with pytest.raises(ValueError, match=said):
            tpu_vm.script(read(*TRAIN), job, None)
    with pytest.raises(ValueError, match="is relative"):
        tpu_vm.script(read(*TRAIN[:-1], "--workdir=runs/x"), tpu_vm.Job("pod", "zone"), None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_its_program_a_back_end_says_how_to_print(tmp_path, monkeypatch, backend):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no (sbatch|kubectl|gcloud) on this machine: .*print"):
        BACKENDS[backend].submit(read(*TRAIN), BACKENDS[backend].Job(), "")


def test_sbatch_gets_the_script(program, tmp_path):
    sbatch = program("sbatch", "echo '41;cluster'")
    program("squeue", f"echo '7 RUNNING None|gen {tmp_path}/other'; echo '8 PENDING Priority|(null)'")
    asked = read("-m", "launch.train", f"--workdir={tmp_path}/run")
    said = slurm.submit(asked, slurm.Job(), "#!/bin/bash\n")
    assert said == f"job 41 is queued; it says what it does in {tmp_path}/run/slurm-41.out"
    assert sbatch() == [f"{how} {tmp_path}/run/submit.sbatch" for how in ("--parsable", "--test-only")]
    assert (tmp_path / "run" / "submit.sbatch").read_text() == "#!/bin/bash\n"
    program("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    with pytest.raises(ValueError, match=r"sbatch refused .*submit\.sbatch: sbatch: error: Invalid account"):
        slurm.submit(asked, slurm.Job(), "")


def test_a_job_that_could_not_start_is_queued_with_a_note(program, tmp_path, capsys):
    program("sbatch", 'case "$*" in *test-only*) echo no such nodes >&2; exit 1;; *) echo 42;; esac')
    program("squeue")
    slurm.submit(read("-m", "launch.train", f"--workdir={tmp_path}/run"), slurm.Job(), "")
    assert capsys.readouterr().err == "note: as the cluster is now this job cannot start: no such nodes\n"


def test_a_directory_that_has_a_job_gets_no_other(program, tmp_path):
    program("sbatch", "echo 42")
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    program("squeue", f"echo '41 PENDING PartitionConfig|gen {tmp_path}/run'; echo '42 RUNNING None|gen {tmp_path}/a'")
    asked = read("-m", "launch.train", f"--workdir={tmp_path}/run")
    for other in (f"{tmp_path}/run", f"{tmp_path}/a/../run", f"{tmp_path}/link"):
        with pytest.raises(ValueError, match="has a job already, 41 PENDING PartitionConfig: scancel it first"):
            slurm.submit(read("-m", "launch.train", f"--workdir={other}"), slurm.Job(), "")
    assert slurm.queued(tmp_path / "a") == ["42 RUNNING"]
    listed = read("-m", "launch.sample", f"--workdir={tmp_path}/run", f"--out={tmp_path}/list")
    assert "job 42 is queued" in slurm.submit(listed, slurm.Job(), "")
    assert f'#SBATCH --comment="gen {tmp_path}/list"' in slurm.script(listed, slurm.Job(), None)
    program("squeue", "echo no controller >&2; exit 1")
    with pytest.raises(ValueError, match="squeue does not answer: no controller"):
        slurm.submit(asked, slurm.Job(), "")


def test_a_cluster_without_defaults_names_what_there_is(program):
    program("sbatch", "echo 1")
    program("sinfo", "echo 'short n/a 30:00'; echo 'long n/a infinite'")
    with pytest.raises(ValueError, match=r"no default partition: give --job\.partition, of short, long"):
        slurm.check(slurm.Job())
    slurm.check(slurm.Job(partition="hidden"))
    program("sinfo", "echo 'short n/a 30:00'; echo 'long* n/a infinite'")
    slurm.check(slurm.Job())
    program("scontrol", "echo 'AccountingStorageEnforce = associations,limits'")
    program("sacctmgr", 'case "$*" in *DefaultAccount*) echo;; *) echo lab; echo other;; esac')
    with pytest.raises(ValueError, match=r"has no default one: give --job\.account, of lab, other"):
        slurm.check(slurm.Job())
    slurm.check(slurm.Job(account="lab"))
    program("sacctmgr", "echo lab")
    slurm.check(slurm.Job())


def test_what_is_printed_is_checked_where_there_is_a_cluster(program, tmp_path, monkeypatch):
    asked = read("-m", "launch.train", f"--workdir={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert [note.split(" is")[0] for note in slurm.notes(asked, slurm.Job(partition="p"))] == ["no --job.account"]
    program("sbatch")
    program("sinfo", "echo 'short n/a 30:00'")
    with pytest.raises(ValueError, match="no default partition"):
        slurm.notes(asked, slurm.Job())
    program("sinfo", "echo 'short* n/a 30:00'")
    assert slurm.notes(asked, slurm.Job()) == []


def test_a_partition_that_gives_a_job_too_little_time_is_told(program):
    program("sbatch", "echo 1")
    program("sinfo", "echo 'short* n/a 5:00'; echo 'some 5:00 infinite'; echo 'long 1-00:00:00 2-00:00:00'")
    for partition in (None, "short", "long,some"):
        with pytest.raises(ValueError, match=r"gives a job 5:00, which is less than twice the 300 seconds"):
            slurm.check(slurm.Job(partition=partition))
    slurm.check(slurm.Job(partition="long"))
    slurm.check(slurm.Job(partition="some", time="60"))
    slurm.check(slurm.Job(notice=120))


def test_kubectl_gets_the_text(program, tmp_path):
    kubectl = program("kubectl", f"cat > {tmp_path}/given")
    said = jobset.submit(read(*TRAIN), jobset.Job(), "kind: JobSet\n")
    assert kubectl() == ["apply -f -"] and (tmp_path / "given").read_text() == "kind: JobSet\n"
    assert said.startswith("job set a-run is applied")
    program("kubectl", "echo 'role.rbac/a-run unchanged'; echo 'jobset.jobset.x-k8s.io/a-run unchanged'")
    with pytest.raises(ValueError, match="a-run is there already, .* kubectl --namespace=default delete jobset a-run"):
        jobset.submit(read(*TRAIN), jobset.Job(), "")
    program("kubectl", "echo 'no matches for kind JobSet' >&2; exit 1")
    with pytest.raises(ValueError, match="kubectl refused it: no matches for kind JobSet"):
        jobset.submit(read(*TRAIN), jobset.Job(), "")


def test_the_program_prints_and_names_what_it_does_not_know():
    def submit(*words):
        line = [PYTHON, "-m", "launch.submit", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

    done = submit("--backend=slurm", "--job.nodes=2", "--job.partition=p", "--print", "--", *TRAIN)
    assert done.returncode == 0 and "#SBATCH --nodes=2\n" in done.stdout
    assert done.stderr.endswith("note: mkdir -p '/shared/runs/a run' first: Slurm makes no directory\n")
    done = submit("--backend=slurm", "--job.acount=x", "--print", "--", *TRAIN)
    assert done.returncode == 2 and "did you mean 'account'" in done.stderr and done.stdout == ""
    done = submit("--backend=slurm", *TRAIN)
    assert done.returncode == 2 and done.stderr.startswith("error: what is to be run follows after --")
    done = submit("--print", "--", *TRAIN)
    assert done.returncode == 2 and done.stderr == "error: --backend is missing: one of slurm, jobset, tpu-vm\n"
