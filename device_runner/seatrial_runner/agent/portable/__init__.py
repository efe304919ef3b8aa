"""The device agent in Python (3.8 or newer, standard library only): the fallback where no native agent runs.

Same job, same result, same order of steps as `native/`; the same tests hold both to it. It goes to the device as one
file, `bin/agent.pyz`, run as ``python3 agent.pyz JOBFILE``. Nothing here may import from outside this folder.
"""
