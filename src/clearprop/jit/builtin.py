"""The way into compiled code without Python in between: a function in machine code that looks at
the arguments of a call, decides whether the compiled code fits them, and runs it.

What it looks at stands in a record, a table of numbers and addresses, so one function serves all
programs and is compiled once per machine. Where anything is not as the record says, the call goes
on to a Python function, which finds or compiles the right version.

This relies on how CPython and NumPy lay objects out (`objects.py`); elsewhere (PyPy, builds without
the global lock) calls go through Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from clearprop.core import Parameter, Tensor
from clearprop.core.state import changes
from clearprop.core.tensor import writes
from clearprop.jit.callable import RECORD
from clearprop.jit.engine import Code, compile_text, provide
from clearprop.jit.objects import (
    ARRAY_FLAGS,
    ARRAY_WEAKREFS,
    AXES,
    BASE,
    DATA,
    DESCRIPTOR,
    DIGIT_BITS,
    DIMENSIONS,
    INT_DIGIT,
    INT_KIND,
    LIST_ITEMS,
    NEW_ARRAY,
    PACKED,
    TUPLE_ITEMS,
    offsets,
    one_digit,
)  # fmt: skip
from clearprop.jit.record import FIELDS, FIXED, GIVEN, RecordText

LARGEST_RESULT = 32  # arrays

API = (
    "PyDict_GetItemWithError", "PyThreadState_Get", "PyEval_SaveThread", "PyEval_RestoreThread",
    "PyLong_FromLongLong", "PyLong_AsLongLong", "PyObject_Vectorcall", "PyType_GenericAlloc",
    "PyTuple_New", "Py_IncRef", "Py_DecRef", "PyObject_CallNoArgs",
)  # fmt: skip


RUN = """
define i32 @run(ptr %step, ptr %table, i64 %k, ptr %moves, i64 %n) #0 {
entry:
  br label %steps
steps:
  %i = phi i64 [0, %entry], [%next, %moved]
  %more = icmp slt i64 %i, %k
  br i1 %more, label %one, label %done
one:
  %status = call i32 %step(ptr %table)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %move, label %failed
move:
  %j = phi i64 [0, %one], [%after, %moving]
  %left = icmp slt i64 %j, %n
  br i1 %left, label %moving, label %moved
moving:
  %entry_at = getelementptr [2 x i64], ptr %moves, i64 %j
  %place = load i64, ptr %entry_at
  %bytes_at = getelementptr i64, ptr %entry_at, i64 1
  %bytes = load i64, ptr %bytes_at
  %slot = getelementptr ptr, ptr %table, i64 %place
  %address = load ptr, ptr %slot
  %moved_on = getelementptr i8, ptr %address, i64 %bytes
  store ptr %moved_on, ptr %slot
  %after = add i64 %j, 1
  br label %move
moved:
  %next = add i64 %i, 1
  br label %steps
failed:
  ret i32 %status
done:
  ret i32 0
}

define i32 @steps(ptr %table) #0 {
entry:
  %step_at = getelementptr ptr, ptr %table, i64 -4
  %step = load ptr, ptr %step_at
  %k_at = getelementptr ptr, ptr %table, i64 -3
  %k = load i64, ptr %k_at
  %moves_at = getelementptr ptr, ptr %table, i64 -2
  %moves = load ptr, ptr %moves_at
  %n_at = getelementptr ptr, ptr %table, i64 -1
  %n = load i64, ptr %n_at
  %status = call i32 @run(ptr %step, ptr %table, i64 %k, ptr %moves, i64 %n)
  ret i32 %status
}
"""  # `k` steps, between which addresses in the table move on by so many bytes each; `steps` finds
# what `run` wants in front of the table


@cache
def text() -> str:
    """The IR of the function."""
    t = RecordText()
    t.lines.append(_DECLARES)
    t.lines.append("define ptr @call(ptr %self, ptr %args, i64 %flagged, ptr %kwnames) #0 {")
    t.block("entry")
    t.do(f"%nargs = and i64 %flagged, {(1 << 63) - 1}")  # without the flag of the protocol
    t.do(f"%results = alloca [{LARGEST_RESULT} x ptr]")
    t.do(f"%drawn = alloca [{LARGEST_RESULT} x ptr]")
    t.do(f"%first = load ptr, ptr {t.let(f'getelementptr i8, ptr %self, i64 {RECORD}')}")
    t.do("br label %try")
    t.block("try")
    t.do("%record = phi ptr [%first, %entry], [%following, %other]")
    _context(t)
    _arguments(t)
    _apart(t)
    _surroundings(t)
    _draws(t)
    _results(t)
    _run(t)
    _effects(t)
    _give(t)
    t.block("other")  # another version may fit
    t.do(f"%following = load ptr, ptr {_slot_of(t, 'next')}")
    t.do("%none_left = icmp eq ptr %following, null")
    t.do("br i1 %none_left, label %slow, label %try")
    t.block("slow")
    t.do(f"%slow_function = load ptr, ptr {_slot_of(t, 'slow', '%first')}")
    t.do("%slow_result = call ptr @PyObject_Vectorcall(ptr %slow_function, ptr %args, i64 %nargs,"
         " ptr %kwnames)")  # fmt: skip
    t.do("ret ptr %slow_result")
    t.lines.append("}\n")
    return "\n".join(t.lines)


_DECLARES = """\
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare ptr @PyThreadState_Get()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare ptr @PyTuple_New(i64)
declare ptr @PyObject_CallNoArgs(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @clearprop_new_array(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
"""


def _slot_of(t: RecordText, name: str, record: str = "%record") -> str:
    return t.let(f"getelementptr i8, ptr {record}, i64 {8 * FIELDS.index(name)}")


def _context(t: RecordText) -> None:
    """The record is in use, nobody else runs it, and thread, mode and changes are the expected."""
    t.need(t.let(f"icmp ne i64 {t.field('enabled', 'i64')}, 0"))
    t.need(t.same("%kwnames", "null"))
    busy = t.field("busy")
    t.need(t.same(t.at(busy, 0, "i64"), "0", "i64"))
    t.need(t.same(t.field("thread"), t.let("call ptr @PyThreadState_Get()")))
    context = t.field("context")
    t.need(t.same(t.at(context, t.field("at_interpreter", "i64")), t.field("none")))
    t.need(t.same(t.at(context, t.field("at_mode", "i64")), t.field("grad_mode")))
    now = t.at(t.field("changes"), 0, "i64")
    t.need(t.same(now, t.field("expected", "i64"), "i64"))
    t.need(t.same("%nargs", t.field("arguments", "i64"), "i64"))


def _arguments(t: RecordText) -> None:
    """Arguments that are no Tensors are the very objects; every Tensor, given or known, holds an
    array of the expected kind, whose address goes into the table.
    """
    with t.each("arguments") as (i, entry):  # the object, or 0
        given = t.let(f"load ptr, ptr {t.let(f'getelementptr ptr, ptr %args, i64 {i}')}")
        fixed = t.at(entry, 0)
        t.need(t.either(t.same(fixed, "null"), t.same(fixed, given)))
    table, none = t.field("table"), t.field("none")
    # how to find it, which one, descriptor, axes, sizes, place in the table, whether it wants grad
    with t.each("tensors") as (_, entry):
        how, which = t.at(entry, 0, "i64"), t.at(entry, 8)
        number = t.let(f"ptrtoint ptr {which} to i64")
        in_args = t.let(f"getelementptr ptr, ptr %args, i64 {number}")
        is_given, is_fixed = (t.same(how, str(k), "i64") for k in (GIVEN, FIXED))
        slot = t.let(f"select i1 {is_given}, ptr {in_args}, ptr {which}")
        own = t.let(f"getelementptr i8, ptr {entry}, i64 8")
        slot = t.let(f"select i1 {is_fixed}, ptr {own}, ptr {slot}")
        tensor = t.let(f"load ptr, ptr {slot}")
        t.need(t.let(f"icmp ne ptr {tensor}, null"))
        kind = t.at(tensor, 8)
        t.need(t.either(t.same(kind, t.field("tensor")), t.same(kind, t.field("parameter"))))
        plain = t.same(t.at(tensor, t.field("at_node", "i64")), none)
        wants = t.let(f"icmp ne i64 {t.at(entry, 48, 'i64')}, 0")
        t.need(t.let(f"xor i1 {plain}, {wants}"))
        array = t.at(tensor, t.field("at_value", "i64"))
        t.need(t.same(t.at(array, 8), t.field("ndarray")))
        t.need(t.same(t.at(array, DESCRIPTOR), t.at(entry, 16)))
        axes = t.at(array, AXES, "i32")
        t.need(t.same(axes, t.at(entry, 24, "i32"), "i32"))
        flags = t.let(f"and i32 {t.at(array, ARRAY_FLAGS, 'i32')}, {PACKED}")
        t.need(t.same(flags, str(PACKED), "i32"))
        _sizes(t, t.at(array, DIMENSIONS), t.at(entry, 32), axes, t.need)
        place = t.let(f"getelementptr ptr, ptr {table}, i64 {t.at(entry, 40, 'i64')}")
        t.do(f"store ptr {t.at(array, DATA)}, ptr {place}")


def _apart(t: RecordText) -> None:
    """What is written to does not lie in an argument. An entry: two places, and how many bytes."""
    table = t.field("table")

    def reach(entry: str, first: int) -> tuple[str, str]:
        at = t.let(f"getelementptr ptr, ptr {table}, i64 {t.at(entry, first, 'i64')}")
        start = t.let(f"load i64, ptr {at}")
        return start, t.let(f"add i64 {start}, {t.at(entry, first + 8, 'i64')}")

    with t.each("apart") as (_, entry):
        (a, a_end), (b, b_end) = reach(entry, 0), reach(entry, 16)
        before = t.let(f"icmp ule i64 {a_end}, {b}")
        after = t.let(f"icmp ule i64 {b_end}, {a}")
        t.need(t.either(before, after))


def _sizes(t: RecordText, have: str, want: str, axes: str, need: Callable[[str], None]) -> None:
    """The sizes along all axes must be equal."""
    t.count += 1
    head, body, done = (f"{x}{t.count}" for x in ("axes", "axis", "sized"))
    before, j, after = t.label, t.new("j"), t.new("j")
    t.do(f"br label %{head}")
    t.block(head)
    lines = len(t.lines)
    t.do("")
    more = t.let(f"icmp slt i32 {j}, {axes}")
    t.do(f"br i1 {more}, label %{body}, label %{done}")
    t.block(body)
    a = t.let(f"load i64, ptr {t.let(f'getelementptr i64, ptr {have}, i32 {j}')}")
    b = t.let(f"load i64, ptr {t.let(f'getelementptr i64, ptr {want}, i32 {j}')}")
    need(t.same(a, b, "i64"))
    t.do(f"{after} = add i32 {j}, 1")
    t.lines[lines] = f"  {j} = phi i32 [0, %{before}], [{after}, %{t.label}]"
    t.do(f"br label %{head}")
    t.block(done)


def _surroundings(t: RecordText) -> None:
    """Tensors, gradients, global names and closures are those that the record was made for."""
    with t.each("words") as (_, entry):  # an address, what it must hold
        t.need(t.same(t.at(t.at(entry, 0), 0), t.at(entry, 8)))
    none = t.field("none")
    with t.each("grads") as (_, entry):  # tensor, gradient (or None), its array
        now = t.at(t.at(entry, 0), t.field("at_grad", "i64"))
        gradient = t.at(entry, 8)
        with t.when(t.let(f"icmp ne ptr {gradient}, {none}")):
            # The memory is used again only if nobody else holds the gradient or its array.
            held = t.same(now, gradient)
            expected = t.let(f"select i1 {held}, i32 2, i32 1")
            t.need(t.same(t.at(gradient, 0, "i32"), expected, "i32"))
            array = t.at(entry, 16)
            t.need(t.same(t.at(gradient, t.field("at_value", "i64")), array))
            t.need(t.same(t.at(gradient, t.field("at_node", "i64")), none))
            t.need(t.same(t.at(array, 0, "i32"), "2", "i32"))
    with t.each("names") as (_, entry):  # dict, name, value
        found = t.let(f"call ptr @PyDict_GetItemWithError(ptr {t.at(entry, 0)},"
                      f" ptr {t.at(entry, 8)})")  # fmt: skip
        t.need(t.same(found, t.at(entry, 16)))


def _draws(t: RecordText) -> None:
    """Random numbers are drawn anew. An entry: the function, place in the table, descriptor."""
    table = t.field("table")
    with t.each("draws") as (i, entry):
        array = t.let(f"call ptr @PyObject_CallNoArgs(ptr {t.at(entry, 0)})")
        with t.when(t.same(array, "null")):
            t.do("ret ptr null")
            t.block(f"dead{t.count}")
        t.do(f"store ptr {array}, ptr {t.let(f'getelementptr ptr, ptr %drawn, i64 {i}')}")
        place = t.let(f"getelementptr ptr, ptr {table}, i64 {t.at(entry, 8, 'i64')}")
        t.do(f"store ptr {t.at(array, DATA)}, ptr {place}")


def _results(t: RecordText) -> None:
    """Arrays for what is returned. An entry: descriptor, axes, sizes, place in the table, whether
    arrays are kept for another call, and the last two that were.
    """
    table = t.field("table")
    with t.each("outputs") as (i, entry):
        slot = t.let(f"getelementptr ptr, ptr %results, i64 {i}")
        t.do(f"store ptr null, ptr {slot}")
        with t.when(t.let(f"icmp ne i64 {t.at(entry, 32, 'i64')}, 0")):
            for spare in (40, 48):
                _take_again(t, entry, t.at(entry, spare), slot)
        with t.when(t.same(t.let(f"load ptr, ptr {slot}"), "null")):
            _new_array(t, entry, slot)
        array = t.let(f"load ptr, ptr {slot}")
        place = t.let(f"getelementptr ptr, ptr {table}, i64 {t.at(entry, 24, 'i64')}")
        t.do(f"store ptr {t.at(array, DATA)}, ptr {place}")


def _take_again(t: RecordText, entry: str, array: str, slot: str) -> None:
    """Use an array of an earlier call if nobody else has it any more, and it is as it was."""
    t.count += 1
    after = f"taken{t.count}"

    def only_if(condition: str) -> None:
        t.count += 1
        t.do(f"br i1 {condition}, label %so{t.count}, label %{after}")
        t.block(f"so{t.count}")

    only_if(t.let(f"icmp ne ptr {array}, null"))
    only_if(t.same(t.at(array, 0, "i64"), "1", "i64"))
    only_if(t.same(t.at(array, DESCRIPTOR), t.at(entry, 0)))
    flags = t.let(f"and i32 {t.at(array, ARRAY_FLAGS, 'i32')}, {NEW_ARRAY & ~0x2}")
    only_if(t.same(flags, str(NEW_ARRAY & ~0x2), "i32"))
    axes = t.at(array, AXES, "i32")
    only_if(t.same(axes, t.at(entry, 8, "i32"), "i32"))
    only_if(t.same(t.at(array, BASE), "null"))
    only_if(t.same(t.at(array, ARRAY_WEAKREFS), "null"))
    _sizes(t, t.at(array, DIMENSIONS), t.at(entry, 16), axes, only_if)
    t.retain(array)
    t.do(f"store ptr {array}, ptr {slot}")
    t.do(f"br label %{after}")
    t.block(after)


def _new_array(t: RecordText, entry: str, slot: str) -> None:
    descriptor = t.at(entry, 0)
    t.retain(descriptor)
    array = t.let(
        f"call ptr @clearprop_new_array(ptr {t.field('ndarray')}, ptr {descriptor},"
        f" i32 {t.at(entry, 8, 'i32')}, ptr {t.at(entry, 16)}, ptr null, ptr null, i32 0,"
        " ptr null)"
    )
    with t.when(t.same(array, "null")):
        t.do("ret ptr null")
        t.block(f"dead{t.count}")
    t.do(f"store ptr {array}, ptr {slot}")
    with t.when(t.let(f"icmp ne i64 {t.at(entry, 32, 'i64')}, 0")):
        t.retain(array)
        newer, older = (t.let(f"getelementptr i8, ptr {entry}, i64 {k}") for k in (40, 48))
        first, second = t.let(f"load ptr, ptr {newer}"), t.let(f"load ptr, ptr {older}")
        t.do(f"store ptr {array}, ptr {newer}")
        t.do(f"store ptr {first}, ptr {older}")
        with t.when(t.let(f"icmp ne ptr {second}, null")):
            t.do(f"call void @Py_DecRef(ptr {second})")


def _run(t: RecordText) -> None:
    """Run the step, for a long one without the global lock."""
    busy, step, table = t.field("busy"), t.field("step"), t.field("table")
    t.do(f"store i64 1, ptr {busy}")
    long = t.let(f"icmp ne i64 {t.field('release', 'i64')}, 0")
    t.do(f"br i1 {long}, label %long, label %short")
    t.block("long")
    saved = t.let("call ptr @PyEval_SaveThread()")
    first = t.let(f"call i32 {step}(ptr {table})")
    t.do(f"call void @PyEval_RestoreThread(ptr {saved})")
    t.do("br label %ran")
    t.block("short")
    second = t.let(f"call i32 {step}(ptr {table})")
    t.do("br label %ran")
    t.block("ran")
    status = t.let(f"phi i32 [{first}, %long], [{second}, %short]")
    t.do(f"store i64 0, ptr {busy}")
    with t.each("draws") as (i, _):
        array = t.let(f"load ptr, ptr {t.let(f'getelementptr ptr, ptr %drawn, i64 {i}')}")
        t.do(f"call void @Py_DecRef(ptr {array})")
    good = t.same(status, "0", "i32")
    t.do(f"br i1 {good}, label %good, label %failed")
    t.block("failed")
    with t.each("outputs") as (i, _):
        array = t.let(f"load ptr, ptr {t.let(f'getelementptr ptr, ptr %results, i64 {i}')}")
        t.do(f"call void @Py_DecRef(ptr {array})")
    number = t.let(f"call ptr @PyLong_FromLongLong(i64 {t.let(f'sext i32 {status} to i64')})")
    at = t.let("getelementptr ptr, ptr %results, i64 0")
    t.do(f"store ptr {number}, ptr {at}")
    raised = t.let(f"call ptr @PyObject_Vectorcall(ptr {t.field('fail')}, ptr {at}, i64 1,"
                   " ptr null)")  # fmt: skip
    t.do(f"call void @Py_DecRef(ptr {number})")
    t.do(f"ret ptr {raised}")
    t.block("good")


def _effects(t: RecordText) -> None:
    """Gradients are set, writes are counted."""
    calls = t.let(f"add i64 {t.field('calls', 'i64')}, 1")
    t.put("calls", calls)
    with t.each("grads") as (_, entry):
        at = t.let(f"getelementptr i8, ptr {t.at(entry, 0)}, i64 {t.field('at_grad', 'i64')}")
        gradient, now = t.at(entry, 8), t.let(f"load ptr, ptr {at}")
        with t.when(t.let(f"icmp ne ptr {now}, {gradient}")):
            t.retain(gradient)
            t.do(f"store ptr {gradient}, ptr {at}")
            with t.when(t.let(f"icmp ne ptr {now}, null")):
                t.do(f"call void @Py_DecRef(ptr {now})")
    with t.each("written") as (_, entry):  # a list with the version of a tensor
        items = t.at(t.at(entry, 0), LIST_ITEMS)
        _replace(t, items, "positive", lambda old: t.let(
            f"add i64 {t.let(f'call i64 @PyLong_AsLongLong(ptr {old})')}, 1"))  # fmt: skip
    with t.when(t.let(f"icmp sgt i64 {t.field('written', 'i64')}, 0")):
        counter = t.field("count")
        value = t.let(f"sub i64 {t.at(counter, 0, 'i64')}, 1")
        t.do(f"store i64 {value}, ptr {counter}")
        _replace(t, t.at(t.field("writes"), LIST_ITEMS), "negative", lambda _: value)


def _replace(t: RecordText, items: str, sign: str, value: Callable[[str], str]) -> None:
    """Another number, one further away from 0, as the only item of a list."""
    old = t.let(f"load ptr, ptr {items}")
    t.count += 1
    step, other, done = f"step{t.count}", f"replace{t.count}", f"replaced{t.count}"
    # A number that only the list has, and that is one digit long, is changed where it lies.
    sole = t.same(t.at(old, 0, "i64"), "1", "i64")
    short = t.same(t.at(old, INT_KIND, "i64"), t.field(sign, "i64"), "i64")
    at = t.let(f"getelementptr i8, ptr {old}, i64 {INT_DIGIT}")
    next_digit = t.let(f"add i32 {t.let(f'load i32, ptr {at}')}, 1")
    fits = t.let(f"icmp ult i32 {next_digit}, {1 << DIGIT_BITS}")
    both = t.let(f"and i1 {sole}, {short}")
    t.do(f"br i1 {t.let(f'and i1 {both}, {fits}')}, label %{step}, label %{other}")
    t.block(step)
    t.do(f"store i32 {next_digit}, ptr {at}")
    t.do(f"br label %{done}")
    t.block(other)
    new = t.let(f"call ptr @PyLong_FromLongLong(i64 {value(old)})")
    t.do(f"store ptr {new}, ptr {items}")
    t.do(f"call void @Py_DecRef(ptr {old})")
    t.do(f"br label %{done}")
    t.block(done)


def _give(t: RecordText) -> None:
    """The results as Tensors: one, a tuple (`many`), or None."""
    tensor, none = t.field("tensor"), t.field("none")
    n = t.field("outputs", "i64")
    many = t.let(f"icmp ne i64 {t.field('many', 'i64')}, 0")
    t.do("br label %deliver")
    t.block("deliver")
    t.do(f"br i1 {many}, label %several, label %single")
    t.block("several")
    result = t.let(f"call ptr @PyTuple_New(i64 {n})")
    t.do("br label %single")
    t.block("single")
    full = t.let(f"phi ptr [null, %deliver], [{result}, %several]")
    with t.each("outputs") as (i, _entry):
        made = t.let(f"call ptr @PyType_GenericAlloc(ptr {tensor}, i64 0)")
        array = t.let(f"load ptr, ptr {t.let(f'getelementptr ptr, ptr %results, i64 {i}')}")
        t.retain(none, 3)
        for name in ("at_node", "at_cell", "at_view"):
            at = t.let(f"getelementptr i8, ptr {made}, i64 {t.field(name, 'i64')}")
            t.do(f"store ptr {none}, ptr {at}")
        at = t.let(f"getelementptr i8, ptr {made}, i64 {t.field('at_value', 'i64')}")
        t.do(f"store ptr {array}, ptr {at}")
        base = t.let(f"getelementptr i8, ptr {full}, i64 {TUPLE_ITEMS}")
        inside = t.let(f"getelementptr ptr, ptr {base}, i64 {i}")
        with_one = t.let("getelementptr ptr, ptr %results, i64 0")
        place = t.let(f"select i1 {many}, ptr {inside}, ptr {with_one}")
        t.do(f"store ptr {made}, ptr {place}")
    one = t.let(f"load ptr, ptr {t.let('getelementptr ptr, ptr %results, i64 0')}")
    empty = t.same(n, "0", "i64")
    t.do(f"br i1 {many}, label %give_many, label %give_one")
    t.block("give_many")
    t.do(f"ret ptr {full}")
    t.block("give_one")
    found = t.let(f"select i1 {empty}, ptr {none}, ptr {one}")
    with t.when(empty):
        t.retain(none)
    t.do(f"ret ptr {found}")


# ---------------------------------------------------------------------- making it
@cache
def code() -> Code:
    """The machine code of the function."""
    for name in API:
        provide(name, _address(getattr(ctypes.pythonapi, name)))
    provide("clearprop_new_array", _numpy_function(94))  # PyArray_NewFromDescr
    return compile_text(text() + RUN, "call", "run", "steps")


def _address(function: Any) -> int:
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found
    return found


def _numpy_function(index: int) -> int:
    """An entry of NumPy's table of functions for C."""
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(ctypes.c_void_p.from_address(get(capsule, None) + 8 * index).value or 0)


_native_writes = np.zeros(1, np.int64)


def common() -> dict[str, int]:
    """The fields of a record that are the same for all."""
    at = offsets()
    assert at is not None
    return {
        **at,
        "changes": changes.buffer_info()[0],
        "tensor": id(Tensor),
        "parameter": id(Parameter),
        "ndarray": id(np.ndarray),
        "none": id(None),
        "writes": id(writes),
        "count": _native_writes.ctypes.data,
        "positive": one_digit(negative=False),
        "negative": one_digit(negative=True),
    }
