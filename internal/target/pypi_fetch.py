"""Run pip in a process that cannot start another one.

python3 -I pypi_fetch.py PIP KEEP ARGUMENT...

pip builds a source distribution by starting an interpreter on code of that distribution. Here every attempt to start a
process is refused before it happens, by an audit hook, which can't be removed. What pip had downloaded by then is
copied to the directory KEEP, for one who wants to look at it without running it.
"""

import os
import runpy
import shutil
import sys
import tempfile

pip, keep = sys.argv[1], sys.argv[2]
ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"}


def save():
    for folder, _, names in os.walk(tempfile.gettempdir()):
        for name in names:
            if os.path.basename(folder).startswith("pip-unpack-") and name.lower().endswith(ARCHIVES):
                shutil.copyfile(os.path.join(folder, name), os.path.join(keep, name))


def refuse(event, args):
    if event in STARTS:
        save()
        raise PermissionError("pip may not start a process: " + event)


sys.addaudithook(refuse)
sys.argv = [pip] + sys.argv[3:]
sys.path.insert(0, os.path.dirname(pip))
runpy.run_path(pip, run_name="__main__")
