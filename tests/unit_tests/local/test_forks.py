"""Forks of a process whose embedded engine works."""

import os

import pytest
from support.subprocesses import run_python


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_ctrl_c_while_a_fork_waits_for_the_engine_comes_after_the_fork() -> None:
    run_python(
        """
        import os, signal, threading, warnings
        from langchain_voxtral.local.engine import forks

        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads
        has_begun, may_end, children = threading.Event(), threading.Event(), []
        main = threading.get_ident()

        def compute():
            with forks.delay_forks():
                has_begun.set()
                may_end.wait()

        def interrupt():
            is_waiting = False
            while not is_waiting:
                with forks._changed:
                    is_waiting = bool(forks._forking)
            signal.pthread_kill(main, signal.SIGINT)
            while not forks._is_interrupted:
                pass
            may_end.set()

        threads = [threading.Thread(target=compute), threading.Thread(target=interrupt)]
        threads[0].start()
        has_begun.wait()
        threads[1].start()
        try:
            if (child := os.fork()) == 0:
                os._exit(7 if may_end.is_set() else 1)
            children.append(child)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
        for thread in threads:
            thread.join()
        with forks.delay_forks():
            pass
        forks.wait_for_forks()  # none is left waiting
        """
    )
