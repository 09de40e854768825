"""The stages, each a process of its own: `PYTHONPATH=src python -m stages.NAME` in the project's folder.

Until its `main` begins, a process only imports. Nothing of that is garbage, but Python would search it for some again
and again, which takes about a fifth of the time; and there is nothing yet that Ctrl-C could leave half done or that a
traceback could explain. `dermascreen.core.stage.stage` ends both.
"""

import gc
import signal

gc.disable()
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where Ctrl-C is ignored, as by nohup
    signal.signal(signal.SIGINT, signal.SIG_DFL)
