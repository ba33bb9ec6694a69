"""User code in a process of its own, which can be killed without hurting its neighbours.

`cell` starts, watches and kills such a process; `serving` is the loop inside it; `limits` says what may be
used, and what it is called when it was too much. `steps` and `inside` are the two ends for the steps of
searches; those for objectives are in `tasks/objective`.
"""
