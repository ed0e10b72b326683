"""Runs one input of a snippet's trial: python3 harness/run.py attack|slow|benign KIT FILE. See the doc of the package snippet."""
import importlib.util
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
work = os.path.dirname(here)
sys.dont_write_bytecode = True
sys.path.insert(0, work)
import crisol_trial as trial  # noqa: E402  first: it reads the secret of the run before any snippet is loaded
import crisol_snippet as snippet  # noqa: E402

leave = os._exit
mode, kit_file, name = sys.argv[1:4]
sys.path.insert(0, os.path.join(work, os.path.dirname(kit_file)))
spec = importlib.util.spec_from_file_location("crisol_kit", os.path.join(work, kit_file))
kit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kit)
make = getattr(kit, "Snippet", snippet.Snippet)


class Pair:
    """The snippet under trial and the vulnerable one."""

    def __init__(self):
        self.target = make(os.path.join(work, "app", name), kit)
        self.affected = make(os.path.join(work, "affected", name), kit)


def attack(t):
    pair = Pair()
    effect = kit.attack(pair, t.payload)
    if effect:
        print(f"the effect was seen with {effect!r}")
        return True
    reached(pair, t)
    return False


def slow(t):
    pair = Pair()
    kit.slow(pair, t.payload, t)
    reached(pair, t)


def reached(pair, t):
    """Says that the payload got to the snippet: every run that wasn't a control was proper and used the input."""
    runs = [o for o in pair.target.outcomes if not o.control]
    bad = [o for o in runs if not o.proper] + [o for o in runs if not o.used]
    if not runs:
        raise RuntimeError("the kit never ran the snippet")
    if bad:
        raise RuntimeError(bad[0].fault or "the snippet never used its input" + (f": {bad[0].error}" if bad[0].error else ""))
    t.attack(lambda: None)


def benign(t):
    pair = Pair()
    kit.benign(pair, t.payload)
    bad = [o for o in pair.target.outcomes if not o.proper and not o.control]
    if bad:
        raise RuntimeError(bad[0].fault)


def plainly(body):
    """Says in one line why a run can't be told or isn't healthy: a traceback would only show the harness."""
    def run(t):
        try:
            return body(t)
        except Exception as err:  # noqa: BLE001
            sys.stdout.flush()
            os.write(2, f"{type(err).__name__ if not isinstance(err, (AssertionError, RuntimeError)) else 'snippet'}: {err}\n".encode("utf-8", "replace"))
            leave(3)
    return run


if mode == "attack":
    trial.exploit(plainly(attack))
elif mode == "slow":
    trial.slow(plainly(slow))
else:
    trial.benign(plainly(benign))
