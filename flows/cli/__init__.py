"""`prefect-tune` on the command line.

    prefect-tune plan SPEC          what a search would do
    prefect-tune run SPEC           the search
    prefect-tune show RUN           what a search found
    prefect-tune store ls | du | verify | gc | why KEY [KEY] | key
    prefect-tune doctor             what is wrong with this installation, and how to mend it
    prefect-tune --install-completion

Rule 1: exit codes are 0 for success, 1 for trouble (something is wrong with a search, store or server), 2 for
the user's mistake (an argument, a spec, a name that is not known), 130 for Ctrl-C.
Rule 2: a mistake is one line on stderr, without a traceback.
Rule 3: what shows something prints one JSON document with `--json`.
Rule 4: what a command needs is imported when it runs; `--version`, `--help` and looking into a store in a
folder load neither Prefect, Dask nor scikit-learn.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App
from cyclopts.exceptions import CycloptsError

from prefect_tune._version import __version__
from prefect_tune.errors import TuneError, UserError
from prefect_tune.flows.cli.doctor import doctor
from prefect_tune.flows.cli.keys import key
from prefect_tune.flows.cli.search import plan, run
from prefect_tune.flows.cli.show import show
from prefect_tune.flows.cli.spec import read_spec
from prefect_tune.flows.cli.store import store

__all__ = ["app", "main", "read_spec"]

OK, TROUBLE, MISTAKE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="prefect-tune",
    help="Hyperparameter search as cached Prefect flows.",
    help_epilogue="Exit codes: 0 ok, 1 something is wrong, 2 a mistake in what was asked, 130 interrupted.",
    version=__version__,
    result_action="return_value",
)
store.command(key)
for _command in (plan, run, show, store, doctor):
    app.command(_command)
app.register_install_completion_command(help="Install shell completion for bash, zsh, fish or powershell.")


def main(arguments: list[str] | None = None) -> None:
    """The console script; ends with an exit code as the module's first rule says.

    Args:
        arguments: after the program's name; None: those of this process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(f"{_first_line(error)} `prefect-tune --help` lists what there is.")
        code = MISTAKE
    except UserError as error:
        _complain(str(error))
        code = MISTAKE
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except Exception as error:
        if not isinstance(error, TuneError) and not _is_prefects(error):
            raise
        _complain(str(error) or type(error).__name__)
        code = TROUBLE
    except KeyboardInterrupt:
        _complain("interrupted.")
        code = INTERRUPTED
    if type(code) is int and code:
        sys.exit(code)


def _is_prefects(error: Exception) -> bool:
    """Whether Prefect says what is wrong, as when it does not reach its API; if so, it has been imported."""
    module = sys.modules.get("prefect.exceptions")
    return module is not None and isinstance(error, module.PrefectException)


def _complain(text: str) -> None:
    print(f"prefect-tune: {text}", file=sys.stderr)


def _first_line(error: CycloptsError) -> str:
    return str(error).strip().splitlines()[0]


if __name__ == "__main__":
    main()
