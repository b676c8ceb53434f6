"""Jobs: batch runs and commands that start by themselves.

job         what a job is          job_file   jobs.toml and jobs.py
times       when it falls due      windows    when it may run      clock    what time it is
store       firings, in SQLite     planner    writes them down     scheduler  starts, watches and settles them
runs        a run's folder         attend     the process that attends one run
"""
