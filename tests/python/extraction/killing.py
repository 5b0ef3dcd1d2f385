"""Death at any moment that is asked for."""

import os
import signal
import sys
import threading


def kill_at(line, modules):
    """Kills this process at the so many-th line that it executes of these modules, in whatever thread."""
    files = {module.__file__ for module in modules}
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            count += 1
            if count == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
