"""Exit statuses of a run, for whatever started it; any other one is a crash, as a signal's, worth starting again.

sys.exit(status.PREEMPTED)
"""

DONE = 0
FAILED = 1  # something could not be read or written (as on a full disk), or nobody foresaw it: mend and start again
USAGE = 2  # bad usage or config: starting again cannot help
DIVERGED = 3  # non-finite losses beyond the limit; the last good state is kept
NO_CHECKPOINT = 4  # checkpoints exist and none is intact
LOST = 69  # a process of the run is gone or never came, or the directory is in use: start all again (EX_UNAVAILABLE)
PREEMPTED = 75  # stopped by a signal with the state saved: start again (EX_TEMPFAIL of sysexits.h)

FINAL = (DONE, USAGE, DIVERGED, NO_CHECKPOINT)  # starting again would change nothing
