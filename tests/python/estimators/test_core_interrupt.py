"""A long call listens: to the callback, to Ctrl-C, to other threads."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from planted import planted

from coxlmm import _core

# One call each that lasts far longer than the signal takes to arrive.
LONG_CALLS = {
    "semi_nmf": "_core.semi_nmf(X, 200, l1=0.001, tol=0, max_iter=10**6, n_threads={n})",
    "ground_text": "_core.ground_text(X, np.resize(X, (100_000, 300)), 5, n_threads={n})",
    "sparse_encode": "_core.sparse_encode(np.resize(X, (60_000, 300)), X[:400], l1=1e-6, n_threads={n})",
}


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("call", LONG_CALLS)
def test_ctrl_c_ends_a_long_call(call, n_threads):
    # A signal during a call that does not listen raises too, but after the call has returned: the profiler tells.
    program = f"""
import sys, numpy as np
from coxlmm import _core
X = np.random.default_rng(0).standard_normal((3000, 300))
events = []
def profile(frame, event, arg):
    if event == "c_call" and arg is _core.{call}:
        print("started", flush=True)
    if event in ("c_return", "c_exception") and arg is _core.{call}:
        events.append(event)
sys.setprofile(profile)
try:
    {LONG_CALLS[call].format(n=n_threads)}
except KeyboardInterrupt:
    sys.setprofile(None)
    print("interrupted", *events, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "started\n"
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert out == "interrupted c_exception\n"
    assert process.returncode == 0


# About when the range of the sketch is found, and when the starts are drawn and compete.
@pytest.mark.parametrize("seconds", [1.0, 2.6, 4.0])
@pytest.mark.skipif(not hasattr(signal, "SIGPROF"), reason="needs a timer that counts processor time")
def test_a_signal_is_heard_within_half_a_second_of_processor_time(seconds):
    # Processor time, sent by the system's own timer: a busy machine makes neither of them longer.
    program = f"""
import signal, time, numpy as np
from coxlmm import _core
X = np.random.default_rng(0).standard_normal((3200, 1800)).astype(np.float32)
signal.signal(signal.SIGPROF, signal.default_int_handler)
start = time.process_time()
signal.setitimer(signal.ITIMER_PROF, {seconds})
try:
    _core.semi_nmf(X, 400, l1=0.001, tol=0, max_iter=10**6, n_threads=1)
except KeyboardInterrupt:
    print(time.process_time() - start - {seconds})
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout
    assert float(out) < 0.5


def test_what_the_callback_raises_is_raised():
    class Stopped(Exception):
        pass

    def callback(iteration, objective):
        if iteration == 2:
            raise Stopped(iteration, objective)

    with pytest.raises(Stopped) as caught:
        _core.semi_nmf(planted(50, 10, 3, seed=0), 3, tol=0, callback=callback)
    assert caught.value.args[0] == 2
    assert isinstance(caught.value.args[1], float)


def test_callback_runs_in_the_calling_thread():
    threads = set()
    _core.semi_nmf(
        planted(300, 10, 3, seed=0),
        3,
        tol=0,
        max_iter=5,
        n_threads=3,
        callback=lambda *_: threads.add(threading.get_ident()),
    )
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize(("answer", "stop"), [(False, "callback"), (True, "max_iter"), (None, "max_iter")])
def test_only_false_stops(answer, stop):
    X = planted(50, 10, 3, seed=0)
    found = _core.semi_nmf(X, 3, n_init=1, tol=0, max_iter=4, callback=lambda *_: answer)
    assert found.stop == stop
    assert found.n_iter == (1 if stop == "callback" else 4)


def test_other_threads_run_during_a_call():
    # With the interpreter's lock held during the call, "free" would never be written.
    program = f"""
import os, threading, time, numpy as np
from coxlmm import _core
X = np.random.default_rng(0).standard_normal((3000, 300))
about_to_call = threading.Event()
def call():
    about_to_call.set()
    {LONG_CALLS["semi_nmf"].format(n=1)}
threading.Thread(target=call, daemon=True).start()
about_to_call.wait()
time.sleep(0.2)
os.write(1, b"free")
os._exit(0)
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30).stdout == b"free"
