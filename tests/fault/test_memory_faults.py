# SPDX-License-Identifier: Apache-2.0
"""
The first, second, third … allocation of a request fails: the program's and its libraries'.

A small one that fails ends the process by design, with a message. What must not happen is a crash
of another kind, an answer that is wrong (a good request refused, a success that did nothing, a
header missing), a request without an end, or a state that is neither old nor new: after the
restart the same request with its key has exactly one effect.

By default a sample of every route; marked slow, every eighth n until the request passes untouched
(warm: the same request has been served before), and every 80th on a server that has just started.
DOSSIER_FAULT_STEP=1 tries each.
"""
import errno
import os
import signal

import pytest

from faults import FAIL_STOP, READS, WRITES, Subject
from saboteur import MEMORY

pytestmark = pytest.mark.timeout(300)

ENDS = (FAIL_STOP, -signal.SIGABRT)
NEVER = 2**62
SAMPLES = 4         # a route, by default
MOST = 3000         # allocations of one request
STEP = int(os.environ.get("DOSSIER_FAULT_STEP", "8"))
COLD_STEP = 10 * STEP
# Not the upload whose types are to be found out: libmagic 5.44 frees a pointer that it has not set
# when vasprintf() finds no memory.
ROUTES = [*READS, *(op for op in WRITES if op != "upload.create large")]


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    made = Subject(tmp_path_factory.mktemp("subject"))
    yield made
    made.close()


class Trials:
    """One route: trial(n, once) is True when the n-th allocation was met and failed."""

    def __init__(self, subject, op):
        self.subject, self.op = subject, op
        self.make = WRITES.get(op) or READS[op]
        self.wanted = subject.effect(self.make) if op in WRITES else None

    def arm(self, nth, once):
        return lambda: self.subject.saboteur.arm(*MEMORY, error=errno.ENOMEM, nth=nth, once=once)

    def count(self):
        """Of a request that nothing disturbs."""
        return self.subject.attempt(self.make(self.subject.side), self.arm(NEVER, False))[1].seen

    def trial(self, nth, once):
        arm = self.arm(nth, once)
        if self.wanted is None:
            return self.subject.read(self.op, self.make, arm, ENDS)
        return self.subject.write(self.op, self.make, self.wanted, arm, ENDS)


@pytest.mark.parametrize("op", ROUTES)
def test_a_sample(subject, op):
    trials = Trials(subject, op)
    count = trials.count()
    assert count > 20, "nothing is in the way of allocations"
    for i in range(SAMPLES):
        trials.trial(1 + (count * (2 * i + 1) // (2 * SAMPLES) + ROUTES.index(op)) % count, i % 2)
    if op == ROUTES[-1]:
        subject.sound()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step, once", [(STEP, True), (3 * STEP, False)],
                         ids=["once", "for ever"])
@pytest.mark.parametrize("op", ROUTES)
def test_every_allocation(subject, op, step, once):
    trials, nth = Trials(subject, op), 1 + ROUTES.index(op) % step
    while trials.trial(nth, once):
        nth += step
        assert nth < MOST, "no end of allocations"
    assert nth > 20
    subject.sound()
    print(f"{op}: {nth} allocations")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("op", ROUTES)
def test_allocations_after_a_start(subject, op):
    """Nothing is prepared or cached yet; so there are more."""
    trials, nth = Trials(subject, op), 1 + ROUTES.index(op)
    while True:
        request = trials.make(subject.side)
        assert subject.server.stop() == 0
        subject.start()
        first, met = subject.attempt(request, trials.arm(nth, True))
        assert first is None or first.status_code < 300 or first.status_code >= 500, (op, met)
        assert subject.repeat(request, ENDS).status_code < 300 or op == "docs.create"
        if not met.spoilt:
            break
        nth += COLD_STEP
    subject.sound()
