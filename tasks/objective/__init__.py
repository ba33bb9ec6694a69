"""Running the user's objective: in a process of its own that can be killed, one per worker thread.

`task` is the Prefect task; `cell` is the worker's end of the process, `inside` the process itself, which runs
`training`; `known` says what the store has of a trial, to the driver too.
"""
