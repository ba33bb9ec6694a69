"""Identity of code: what an edit changes, what it must not change, and what is refused.

Code is written as text and run as `__main__` would be, or as files read by a fresh interpreter.
"""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import json
import linecache
import math
import sys
import textwrap

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.code import callable_identity, class_identity, environment_versions, session
from prefect_tune.identity.encode import hexdigest
from prefect_tune.identity.source import code_form

MODEL = """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

LIMIT = 3

def helper(x):
    return x in {"a", "b", "c"}

class Model(TransformerMixin, BaseEstimator):
    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, X, y=None):
        '''Learns nothing.'''
        super().__init__()
        return self

    def transform(self, X):
        if helper(X):
            return Model(self.depth)
        return np.asarray(X) * LIMIT
"""


def run(text: str, name: str = "Model", *, shown: bool = False):
    """The object of that name after running a text as a session would.

    `shown`: the source stays at hand, as a notebook keeps it for its cells.
    """
    text, file = textwrap.dedent(text), f"<cell {next(CELLS)}>" if shown else "<session>"
    if shown:
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": "__main__"}
    exec(compile(text, file, "exec", dont_inherit=True), space)
    return space[name]


def identity(text: str, name: str = "Model", *, shown: bool = False) -> tuple:
    return callable_identity(run(text, name, shown=shown))


CELLS = itertools.count()
SHOWN = pytest.mark.parametrize("shown", [False, True], ids=["no source", "source at hand"])

EDITS = {
    "method": ("* LIMIT", "+ LIMIT"),
    "parameter default": ("depth=1", "depth=2"),
    "helper": ('"c"', '"d"'),
    "global": ("LIMIT = 3", "LIMIT = 4"),
    "type of a global": ("LIMIT = 3", "LIMIT = 3.0"),
    "base": ("(TransformerMixin, BaseEstimator)", "(BaseEstimator, TransformerMixin)"),
    "alias of a module": ("import numpy as np", "import math as np"),
}


@SHOWN
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edit_changes_the_identity(edit, shown):
    """A class of a session changes with its methods and with every helper and constant it reaches."""
    assert identity(MODEL.replace(*edit), shown=shown) != identity(MODEL, shown=shown)


@SHOWN
@pytest.mark.parametrize(
    "edit",
    [
        ("\nLIMIT", "\n\n# a comment\n\nLIMIT"),
        ("'''Learns nothing.'''", "'''Learns\n\n        very little.'''"),
        ("return self\n", "return self  # done\n"),
        ("LIMIT = 3", "LIMIT = 3\nUNUSED = 5"),
    ],
    ids=["lines", "docstring", "comment", "unused global"],
)
def test_an_edit_without_effect_keeps_the_identity(edit, shown):
    """Line numbers, comments, docstrings and constants that are not used do not count."""
    assert identity(MODEL.replace(*edit), shown=shown) == identity(MODEL, shown=shown)


def test_a_docstring_may_come_and_go_where_the_source_is_at_hand():
    """The tree is compared without docstrings; bytecode alone cannot tell one from a constant in use."""
    bare = MODEL.replace("'''Learns nothing.'''", "pass")
    assert identity(MODEL.replace("'''Learns nothing.'''", "'''Doc.'''\n        pass"), shown=True) == (
        identity(bare, shown=True)
    )


def test_source_that_is_not_the_code_is_not_believed():
    """A cell whose kept text was replaced goes by the code that runs, not by the text."""
    function = run("def f(x):\n    return x + 1\n", "f", shown=True)
    told = code_form(function.__code__)
    other = run("def f(x):\n    return x + 1\n", "f", shown=True)
    name = other.__code__.co_filename
    linecache.cache[name] = (9, None, ["def f(x):\n", "    return x + 2\n"], name)
    assert told[0] == "ast"
    assert code_form(other.__code__)[0] == "code"


@SHOWN
def test_a_cell_run_again_keeps_the_identity(shown):
    """A new class object of the same text is the same class."""
    assert identity(MODEL, shown=shown) == identity(MODEL, shown=shown)


def test_a_global_edited_at_run_time_counts():
    """What counts is the value now: the identity of session code is not remembered."""
    model = run(MODEL)
    before = class_identity(model)
    model.transform.__wrapped__.__globals__["LIMIT"] = 9
    assert class_identity(model) != before


def test_session_remembers_an_identity():
    """Within one planning pass the user's code is taken as unchanged."""
    model = run(MODEL)
    with session():
        before = class_identity(model)
        model.transform.__wrapped__.__globals__["LIMIT"] = 9
        assert class_identity(model) == before
    assert class_identity(model) != before


FACTORY = """
def make(power, offset=0):
    def apply(x, *, scale=1):
        return x ** power + offset * scale
    return apply

squared, cubed, shifted = make(2), make(3), make(2, 1)
again = make(2)
first = lambda x: x + 1
second = lambda x: x + 2
first_again = lambda x: x + 1
"""


def test_closure_cells_count():
    """Functions of one factory differ by what they closed over."""
    found = {name: identity(FACTORY, name) for name in ("squared", "cubed", "shifted", "again")}
    assert found["squared"] == found["again"]
    assert len(set(found.values())) == 3


@SHOWN
def test_lambdas_of_a_session_go_by_their_code(shown):
    """Two lambdas differ as their bodies do; nothing else tells them apart."""
    found = {n: identity(FACTORY, n, shown=shown) for n in ("first", "second", "first_again")}
    assert found["first"] == found["first_again"]
    assert found["first"] != found["second"]


def test_lambdas_in_one_line_differ():
    """Where a line holds two lambdas its tree names neither, so their code decides."""
    left, right = run("pair = [lambda x: x + 1, lambda x: x + 2]", "pair", shown=True)
    assert callable_identity(left) != callable_identity(right)


def test_mutual_recursion_ends():
    """Functions that call each other are each followed once."""
    text = "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)\n"
    assert identity(text, "even") == identity(text, "even")
    assert identity(text, "even") != identity(text.replace("n != 0", "n > 0"), "even")


def test_a_global_instance_of_the_class_itself_ends():
    """A class whose method uses a global object of that class has an identity."""
    text = MODEL + "\nSHARED = Model(5)\ndef use(self):\n    return SHARED\nModel.use = use\n"
    assert identity(text) == identity(text)
    assert identity(text) != identity(text.replace("Model(5)", "Model(6)"))


@pytest.mark.parametrize(
    "text",
    [
        "import threading\nlock = threading.Lock()\ndef f():\n    return lock\n",
        "def f(x):\n    return eval(x)\n",
        "def f():\n    return globals()\n",
    ],
    ids=["lock", "eval", "globals"],
)
def test_code_that_cannot_be_named_is_refused(text):
    """A global without an encoding, or a way to reach anything, makes the code uncacheable."""
    with pytest.raises(Uncacheable):
        identity(text, "f")


def test_cache_version_replaces_the_closure():
    """The user's promise stands for the code, until it is raised; a subclass does not inherit it."""
    promised = "class Model:\n    cache_version = '3'\n    x = 1\n"
    assert identity(promised) == identity(promised.replace("x = 1", "x = 2"))
    assert identity(promised) != identity(promised.replace("'3'", "'4'"))
    child = promised + "class Child(Model):\n    y = 1\n"
    assert identity(child, "Child") != identity(child.replace("y = 1", "y = 2"), "Child")


@pytest.mark.parametrize(
    ("target", "distribution", "module", "name"),
    [
        (Pipeline, "scikit-learn", "sklearn.pipeline", "Pipeline"),
        (f1_score, "scikit-learn", "sklearn.metrics._classification", "f1_score"),
        (np.mean, "numpy", "numpy", "mean"),
        (np.float64, "numpy", "numpy", "float64"),
    ],
)
def test_installed_code_is_its_distribution(target, distribution, module, name):
    """Installed code is distribution, version, module and name."""
    expected = ("dist", distribution, importlib.metadata.version(distribution), module, name)
    assert callable_identity(target) == expected


@pytest.mark.parametrize("target", [math.sqrt, len, int, functools.partial, json.dumps, str.upper])
def test_code_of_python_is_python(target):
    """The standard library goes by the minor version of Python."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert callable_identity(target)[:3] == ("dist", "python", python)


def test_bound_methods_hold_their_object():
    """A bound method is its function and the object it is bound to."""
    assert callable_identity("a".join) != callable_identity("b".join)


def test_environment_versions_are_complete():
    """Python by minor version, the numeric packages by full version, read without importing them."""
    found = environment_versions()
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["scikit-learn"] == importlib.metadata.version("scikit-learn")
    assert set(found) == {"python", "numpy", "scipy", "scikit-learn"}


def test_identities_encode():
    """Every identity is a value that the encoder takes."""
    for target in (run(MODEL), run(FACTORY, "squared"), Pipeline, len):
        assert len(hexdigest("test/v1", callable_identity(target))) == 64


def test_a_docstring_in_use_counts():
    """A text that is both docstring and result is part of what the function does."""
    text = "def f():\n    'a'\n    return 'a'\n"
    assert identity(text, "f") != identity(text.replace("'a'", "'b'"), "f")
