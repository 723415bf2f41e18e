"""Threads for steps that are split into parts: they wait in machine code, start together and meet
at barriers, and never need Python's lock.

One pool of n threads, the caller being the first, serves all steps of n parts in the process, one
step at a time. A worker that has nothing to do spins for a moment and then sleeps.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from functools import cache

import numpy as np

from clearprop.jit.engine import Code, compile_text, provide
from clearprop.jit.target import host

# Where things lie in a pool's block of memory, in words of 8 bytes. `launch` returns only when all
# others have left the step's code, which may be dropped then.
EPOCH, ARRIVED, FAILED, LEFT, BASE, TABLE, WORKS = 0, 8, 16, 24, 32, 33, 34
SLEEPERS, OTHERS = 35, 36
MUTEX, CONDITION, JOB, WORDS = 40, 56, 72, 88
SPINS, PATIENCE = 4000, 2000  # rounds of waiting, in a barrier before others may run; for a step

DECLARES = frozenset({
    "declare void @clearprop_barrier(ptr, i64)",
    "declare void @clearprop_fail(ptr, i64)",
    "declare i32 @clearprop_launch(ptr, ptr, ptr)",
})  # fmt: skip

_TEXT = """
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()
declare void {declared}

define void @barrier(ptr %pool, i64 %k) #0 {{
entry:
  %base_at = getelementptr i64, ptr %pool, i64 {BASE}
  %base = load i64, ptr %base_at
  %wanted = add i64 %base, %k
  %arrived = getelementptr i64, ptr %pool, i64 {ARRIVED}
  %before = atomicrmw add ptr %arrived, i64 1 seq_cst
  br label %look
look:
  %i = phi i64 [0, %entry], [%next, %again]
  %now = load atomic i64, ptr %arrived seq_cst, align 8
  %all = icmp uge i64 %now, %wanted
  br i1 %all, label %done, label %wait
wait:
  call void {pause}
  %next = add i64 %i, 1
  %long = icmp ugt i64 %next, {SPINS}
  br i1 %long, label %yield, label %again
yield:
  %ignored = call i32 @sched_yield()
  br label %again
again:
  br label %look
done:
  ret void
}}

define void @fail(ptr %pool, i64 %what) #0 {{
entry:
  %at = getelementptr i64, ptr %pool, i64 {FAILED}
  %old = atomicrmw umin ptr %at, i64 %what seq_cst
  ret void
}}

define void @work(ptr %pool, i64 %p, i64 %start) #0 {{
entry:
  %epoch = getelementptr i64, ptr %pool, i64 {EPOCH}
  %table_at = getelementptr i64, ptr %pool, i64 {TABLE}
  %works_at = getelementptr i64, ptr %pool, i64 {WORKS}
  %left = getelementptr i64, ptr %pool, i64 {LEFT}
  %sleepers = getelementptr i64, ptr %pool, i64 {SLEEPERS}
  %mutex = getelementptr i64, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i64, ptr %pool, i64 {CONDITION}
  br label %idle
idle:
  %seen = phi i64 [%start, %entry], [%now, %begin]
  br label %look
look:
  %i = phi i64 [0, %idle], [%next, %wait]
  %first = load atomic i64, ptr %epoch seq_cst, align 8
  %new = icmp ne i64 %first, %seen
  br i1 %new, label %begin, label %wait
wait:
  call void {pause}
  %next = add i64 %i, 1
  %long = icmp ugt i64 %next, {PATIENCE}
  br i1 %long, label %sleep, label %look
sleep:
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  %n = load i64, ptr %sleepers
  %more = add i64 %n, 1
  store i64 %more, ptr %sleepers
  br label %check
check:
  %second = load atomic i64, ptr %epoch seq_cst, align 8
  %woken = icmp ne i64 %second, %seen
  br i1 %woken, label %awake, label %doze
doze:
  %w = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
awake:
  %m = load i64, ptr %sleepers
  %fewer = sub i64 %m, 1
  store i64 %fewer, ptr %sleepers
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %begin
begin:
  %now = load atomic i64, ptr %epoch seq_cst, align 8
  %table = load ptr, ptr %table_at
  %works = load ptr, ptr %works_at
  %mine = getelementptr ptr, ptr %works, i64 %p
  %function = load ptr, ptr %mine
  %status = call i32 %function(ptr %table)
  %out = atomicrmw add ptr %left, i64 1 seq_cst
  br label %idle
}}

define i32 @launch(ptr %pool, ptr %table, ptr %works) #0 {{
entry:
  %job = getelementptr i64, ptr %pool, i64 {JOB}
  %l = call i32 @pthread_mutex_lock(ptr %job)
  %arrived_at = getelementptr i64, ptr %pool, i64 {ARRIVED}
  %arrived = load atomic i64, ptr %arrived_at seq_cst, align 8
  %base_at = getelementptr i64, ptr %pool, i64 {BASE}
  store i64 %arrived, ptr %base_at
  %left_at = getelementptr i64, ptr %pool, i64 {LEFT}
  %left = load atomic i64, ptr %left_at seq_cst, align 8
  %others_at = getelementptr i64, ptr %pool, i64 {OTHERS}
  %others = load i64, ptr %others_at
  %all_left = add i64 %left, %others
  %failed_at = getelementptr i64, ptr %pool, i64 {FAILED}
  store atomic i64 -1, ptr %failed_at seq_cst, align 8
  %table_at = getelementptr i64, ptr %pool, i64 {TABLE}
  store ptr %table, ptr %table_at
  %works_at = getelementptr i64, ptr %pool, i64 {WORKS}
  store ptr %works, ptr %works_at
  %mutex = getelementptr i64, ptr %pool, i64 {MUTEX}
  %l2 = call i32 @pthread_mutex_lock(ptr %mutex)
  %epoch = getelementptr i64, ptr %pool, i64 {EPOCH}
  %old = atomicrmw add ptr %epoch, i64 1 seq_cst
  %sleepers_at = getelementptr i64, ptr %pool, i64 {SLEEPERS}
  %sleepers = load i64, ptr %sleepers_at
  %some = icmp ne i64 %sleepers, 0
  br i1 %some, label %wake, label %go
wake:
  %condition = getelementptr i64, ptr %pool, i64 {CONDITION}
  %b = call i32 @pthread_cond_broadcast(ptr %condition)
  br label %go
go:
  %u2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  %function = load ptr, ptr %works
  %ignored = call i32 %function(ptr %table)
  br label %look
look:
  %now = load atomic i64, ptr %left_at seq_cst, align 8
  %gone = icmp uge i64 %now, %all_left
  br i1 %gone, label %done, label %wait
wait:
  %yielded = call i32 @sched_yield()
  br label %look
done:
  %failed = load atomic i64, ptr %failed_at seq_cst, align 8
  %u = call i32 @pthread_mutex_unlock(ptr %job)
  %good = icmp eq i64 %failed, -1
  %kernel = trunc i64 %failed to i32
  %status = select i1 %good, i32 0, i32 %kernel
  ret i32 %status
}}
"""


@cache
def code() -> Code:
    """The machine code of all pools; gives steps the names of what they call."""
    arm = host().name == "neon"
    pause = "@llvm.aarch64.hint(i32 1)" if arm else "@llvm.x86.sse2.pause()"
    declared = pause.replace("i32 1", "i32")
    text = _TEXT.format(
        pause=pause, declared=declared, **{k: v for k, v in globals().items() if k.isupper()}
    )
    found = compile_text(text, "barrier", "fail", "work", "launch")
    for name in ("barrier", "fail", "launch"):
        provide(f"clearprop_{name}", found.address(name))
    return found


class Pool:
    """n - 1 threads and the block of memory that they and the caller share."""

    def __init__(self, n: int) -> None:
        self.n = n
        raw = np.zeros(WORDS + 8, np.int64)
        self.block = raw[-(raw.ctypes.data // 8) % 8 :][:WORDS]
        self.start()

    @property
    def address(self) -> int:
        """The block's."""
        return int(self.block.ctypes.data)

    def start(self) -> None:
        """Start the threads; again in a child process, which has none of its parent's."""
        lib = ctypes.CDLL(None)
        for word in (MUTEX, JOB):
            lib.pthread_mutex_init(ctypes.c_void_p(self.address + 8 * word), None)
        lib.pthread_cond_init(ctypes.c_void_p(self.address + 8 * CONDITION), None)
        self.block[SLEEPERS], self.block[OTHERS] = 0, self.n - 1
        work = _WORK(code().address("work"))
        for p in range(1, self.n):
            args = (self.address, p, int(self.block[EPOCH]))
            name = f"clearprop {p + 1} of {self.n}"
            threading.Thread(target=work, args=args, name=name, daemon=True).start()


_WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_pools: dict[int, Pool] = {}
_lock = threading.Lock()


def pool(n: int) -> Pool:
    """The pool of n threads; its threads live as long as the process."""
    with _lock:
        if n not in _pools:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
            if n > (cores or os.cpu_count() or 1):
                warnings.warn(
                    f"clearprop.compile: {n} threads on {cores or os.cpu_count()} cores wait for"
                    " each other; take as many as there are cores, or fewer",
                    RuntimeWarning,
                    stacklevel=2,
                )
            _pools[n] = Pool(n)
        return _pools[n]


def _start_again() -> None:
    global _lock
    _lock = threading.Lock()
    for found in _pools.values():
        found.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_again)
