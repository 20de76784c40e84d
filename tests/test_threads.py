"""Several threads, stores past the cache and calls in several dimensions: the same bits, whatever is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import halfwave as hw
import numpy as np
import pytest
from halfwave import _core

from tests.cases import CASES, Case, defaults, direct_calls, each_case, equal_bits

LARGE = 200_003  # elements: several parts for each thread, and an odd end
FEW = [c for c in CASES if c.name in ("relu", "silu", "prelu", "swiglu")]


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = hw.get_num_threads()
    yield
    hw.set_num_threads(before)


@pytest.fixture
def streaming() -> Iterator[None]:
    """Let all results go past the cache."""
    _core.set_streaming_size(1)
    yield
    _core.set_streaming_size(0)


def numbers(shape: Any, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Make numbers of which some are special."""
    x = (np.random.default_rng(seed).standard_normal(shape) * 3).astype(dtype)
    x.reshape(-1)[::97] = np.inf
    x.reshape(-1)[5::101] = np.nan
    return x


def operands(case: Case, shape: Any, dtype: Any = np.float32) -> list[Any]:
    """Make the operands of a ufunc, parameters included."""
    data = [numbers(shape, dtype, seed) for seed in range(len(case.data))]
    return [*data, *defaults(case.ufunc, case.name)]


def serially(call: Callable[[], Any]) -> Any:
    """Give what one thread computes."""
    with hw.num_threads(1):
        return call()


def several(results: Any) -> tuple[Any, ...]:
    """Make a tuple of the results of a ufunc, of which most have one."""
    return results if isinstance(results, tuple) else (results,)


def same(a: Any, b: Any) -> bool:
    """Whether two results, or two tuples of results, have the same bits."""
    return all(map(equal_bits, several(a), several(b)))


# ---- The number of threads -------------------------------------------------------------------------------------------


@each_case
def test_bits_do_not_depend_on_the_number_of_threads(case: Case) -> None:
    """Every function, in float32."""
    arguments = operands(case, LARGE)
    expected = serially(lambda: case.ufunc(*arguments))
    for n in (2, 3, 7):
        with hw.num_threads(n):
            assert same(case.ufunc(*arguments), expected), n


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("case", FEW, ids=str)
def test_bits_do_not_depend_on_the_number_of_threads_in_other_dtypes(case: Case, dtype: Any) -> None:
    """Some functions, in other dtypes."""
    arguments = operands(case, LARGE, dtype)
    expected = serially(lambda: case.ufunc(*arguments))
    with hw.num_threads(3):
        assert same(case.ufunc(*arguments), expected)


def test_parameter_gradients_do_not_depend_on_the_number_of_threads() -> None:
    """Whole parts are nodes of the tree by which they are summed."""
    g, x = numbers((37, 8, 1031)), np.nan_to_num(numbers((37, 8, 1031), seed=1))
    g = np.nan_to_num(g, posinf=1)
    for shape in ((), (8, 1), (37, 1, 1), (1031,)):
        weight = np.full(shape, 0.25, np.float32)
        expected = serially(lambda w=weight: hw.prelu.parameter_backward(g, x, w))
        for n in (2, 5):
            with hw.num_threads(n):
                assert same(hw.prelu.parameter_backward(g, x, weight), expected)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_threads_start_when_first_needed() -> None:
    """By a large call, and as many as it may use."""
    code = """
import os, numpy as np, halfwave as hw
def count():
    return len(os.listdir("/proc/self/task"))
start = count()
hw.silu(np.ones(1000, np.float32))
small = count()
hw.silu(np.ones(1 << 20, np.float32))
print(small - start, count() - start)
"""
    assert python(code, HALFWAVE_NUM_THREADS="4").stdout == "0 3\n"


def test_calls_from_several_threads_at_once() -> None:
    """Whoever finds the pool in use computes alone, with the same result."""
    hw.set_num_threads(2)
    arrays = [numbers(LARGE, seed=seed) for seed in range(8)]
    expected = serially(lambda: [hw.gelu(x) for x in arrays])
    hw.set_num_threads(2)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert all(map(equal_bits, pool.map(hw.gelu, arrays), expected))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    """The parent's threads do not live in the child, which must not wait for them."""
    hw.set_num_threads(2)
    x = numbers(LARGE)
    expected = hw.silu(x)
    busy = threading.Event()

    def keep_busy() -> None:
        while not busy.is_set():
            hw.silu(x)

    other = threading.Thread(target=keep_busy)
    other.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(0 if equal_bits(hw.silu(x), expected) and equal_bits(hw.silu(x), expected) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        busy.set()
        other.join()
    assert equal_bits(hw.silu(x), expected)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with other variables in its environment."""
    variables = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)


def test_the_environment_sets_the_number_of_threads() -> None:
    """HALFWAVE_NUM_THREADS, an integer of at least 1."""
    show = "import halfwave; print(halfwave.get_num_threads())"
    assert python(show, HALFWAVE_NUM_THREADS="5").stdout.strip() == "5"
    for wrong in ("0", "-1", "two", "1.5", "65536"):
        refused = python(show, HALFWAVE_NUM_THREADS=wrong)
        assert refused.returncode != 0
        assert "HALFWAVE_NUM_THREADS must be an integer from 1 to 65535" in refused.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity mask")
def test_the_affinity_mask_limits_the_number_of_threads() -> None:
    """At first there are as many threads as processors that this process may use."""
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    assert python(code + "import halfwave; print(halfwave.get_num_threads())", HALFWAVE_NUM_THREADS="").stdout == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="lists threads in /proc")
def test_threads_keep_their_affinity() -> None:
    """A thread that was woken up off the caller's processor may run everywhere again."""
    hw.set_num_threads(3)
    x = np.ones(LARGE, np.float32)
    for pause in (0.0, 1e-5, 1e-3) * 200:
        time.sleep(pause)
        hw.relu(x, out=x)
    time.sleep(0.05)
    own = os.sched_getaffinity(0)
    assert all(os.sched_getaffinity(int(thread)) == own for thread in os.listdir("/proc/self/task"))


def test_the_number_of_threads_is_an_integer_of_at_least_1() -> None:
    """Anything else is refused by name, and changes nothing."""
    hw.set_num_threads(np.int64(3))
    for wrong in (0, -1, True, 2**16):
        with pytest.raises(ValueError, match="n must be an integer from 1 to 65535"):
            hw.set_num_threads(wrong)
    for wrong in (1.0, "2", None):
        with pytest.raises(TypeError, match="n must be an integer of at least 1"):
            hw.set_num_threads(wrong)
    with pytest.raises(ValueError, match="n must be"), hw.num_threads(0):
        pass
    assert hw.get_num_threads() == 3


def test_the_context_manager_restores() -> None:
    """Also after an error, and when nested."""
    hw.set_num_threads(4)
    with hw.num_threads(2):
        with hw.num_threads(1):
            assert hw.get_num_threads() == 1
        assert hw.get_num_threads() == 2
    with pytest.raises(KeyError), hw.num_threads(1):
        raise KeyError
    assert hw.get_num_threads() == 4


def test_threadpoolctl_limits_the_threads() -> None:
    """Registered by itself if threadpoolctl is there first, else on request, and once only."""
    first = "import threadpoolctl, halfwave"
    later = "import halfwave, threadpoolctl; [halfwave.register_with_threadpoolctl() for _ in range(2)]"
    limit = """
found = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "halfwave"]
halfwave.set_num_threads(3)
with threadpoolctl.threadpool_limits(1, user_api="halfwave"):
    print(len(found), halfwave.get_num_threads(), end=" ")
print(halfwave.get_num_threads())
"""
    for start in (first, later):
        done = python(start + limit)
        assert done.stdout == "1 1 3\n", done.stderr


# ---- Stores past the cache -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("case", FEW, ids=str)
def test_streaming_stores_write_the_same_bits(case: Case, dtype: Any) -> None:
    """At every offset from a cache line, and nothing beside the output."""
    for n in (*range(70), 1023, 5003):
        arguments = operands(case, n, dtype)
        _core.set_streaming_size(2**62)
        expected = case.ufunc(*arguments)
        _core.set_streaming_size(1)
        for offset in (0, 1, 7, 31):
            memory = [np.full(n + offset + 40, 7, dtype) for _ in range(case.ufunc.nout)]
            out = tuple(m[offset : offset + n] for m in memory)
            case.ufunc(*arguments, out=out)
            assert same(out, expected)
            assert all((m[:offset] == 7).all() and (m[offset + n :] == 7).all() for m in memory)


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_streaming_stores_at_any_address(dtype: Any) -> None:
    """Two outputs, one of them off its own alignment, at addresses that differ by parts of a cache line."""
    x = numbers(5003, dtype)
    expected = tuple(hw.swiglu_backward(x, x, x))
    for bytes_off in range(0, 65, 5):
        for elements_off in (0, 1, 3):
            memory = np.full(x.nbytes + 65, 7, np.uint8)
            off = memory[bytes_off : bytes_off + x.nbytes].view(dtype)
            out = (off, np.zeros(x.size + 3, dtype)[elements_off:][: x.size])
            hw.swiglu_backward(x, x, x, out=out)
            assert same(out, expected)
            assert (memory[:bytes_off] == 7).all()
            assert (memory[bytes_off + x.nbytes :] == 7).all()


@pytest.mark.usefixtures("streaming")
def test_streaming_stores_in_place_and_by_several_threads() -> None:
    """An output that is an input, too."""
    hw.set_num_threads(3)
    x = numbers(LARGE)
    expected = serially(lambda: hw.silu(x.astype(np.float32)))
    hw.set_num_threads(3)
    assert equal_bits(hw.silu(x), expected)
    assert equal_bits(hw.silu(x, out=x), expected)


# ---- Calls in several dimensions -------------------------------------------------------------------------------------

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": lambda a: a[::2],
    "columns": lambda a: a[:, ::3],
    "half": lambda a: a[:, : a.shape[1] // 2],
    "few columns": lambda a: a[:, 5:8],
    "one column": lambda a: a[:, 5],
    "backwards": lambda a: a[::-1, ::-1],
    "transposed": lambda a: a.T,
    "Fortran": np.asfortranarray,
    "three dimensions": lambda a: a[: a.shape[0] // 4 * 4].reshape(4, -1, a.shape[1])[:, ::2].transpose(1, 0, 2),
    "repeated": lambda a: np.broadcast_to(a[:, :1], a.shape),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(31, 40), (601, 701)], ids=str)
@pytest.mark.parametrize("case", FEW, ids=str)
def test_layouts(case: Case, layout: str, shape: tuple[int, int], threads: int) -> None:
    """The same values, strides and order of the result as by NumPy's own machinery."""
    hw.set_num_threads(threads)
    arguments = [LAYOUTS[layout](a) if isinstance(a, np.ndarray) else a for a in operands(case, shape)]
    with direct_calls(False):
        expected = case.ufunc(*arguments)
    results = case.ufunc(*arguments)
    assert same(results, expected)
    for result, wanted in zip(several(results), several(expected), strict=True):
        assert result.strides == wanted.strides
    out = tuple(LAYOUTS[layout](np.zeros(shape, np.float32)).copy() for _ in range(case.ufunc.nout))
    case.ufunc(*arguments, out=out)
    assert same(out, expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("case", FEW, ids=str)
def test_masks(case: Case, share: float, layout: str, threads: int) -> None:
    """Elements that `where` leaves out keep their bits, whatever the layout of operands, mask and output."""
    hw.set_num_threads(threads)
    shape = (271, 251)
    arguments = [LAYOUTS[layout](a) if isinstance(a, np.ndarray) else a for a in operands(case, shape)]
    mask = LAYOUTS[layout](np.random.default_rng(9).random(shape) < share)
    for where in (mask, mask[:1], mask[..., :1], True):
        results = []
        for direct in (True, False):
            before = LAYOUTS[layout](numbers(shape, seed=8)).copy()
            out = tuple(np.copy(before) for _ in range(case.ufunc.nout))
            with direct_calls(direct):
                case.ufunc(*arguments, out=out, where=where)
            results.append(out)
        assert same(*results)


def test_a_mask_in_place() -> None:
    """Where the input is the output, and where the mask is."""
    x = numbers(5000)
    mask = np.random.default_rng(9).random(5000) < 0.3
    expected = np.where(mask, hw.silu(x), x)
    assert equal_bits(hw.silu(x, out=x, where=mask), expected)
    both = np.ones(8, np.bool_).view(np.float64)
    with direct_calls(False):
        expected = hw.relu(both[:1].copy(), out=both[:1].copy(), where=both.view(np.bool_)[:1])
    assert equal_bits(hw.relu(both, out=both, where=both.view(np.bool_)[:1]), expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("weight", [(50,), (60, 1), (60, 50), (7, 1, 1), (1,), (1, 1, 50)], ids=str)
@pytest.mark.parametrize("x", [(7, 60, 50), (60, 50), (7, 600, 50)], ids=str)
def test_broadcast_parameters_and_gradients(x: tuple[int, ...], weight: tuple[int, ...], threads: int) -> None:
    """Each parameter's own dimensions, also where they widen the result or do not fit."""
    hw.set_num_threads(threads)
    data, slopes = numbers(x), np.random.default_rng(3).uniform(0, 1, weight).astype(np.float32)
    with direct_calls(False):
        try:
            expected = hw.prelu(data, slopes)
        except ValueError:
            with direct_calls(True), pytest.raises(ValueError, match="broadcast"):
                hw.prelu(data, slopes)
            return
        backward = hw.prelu_backward(data[..., :1], data, slopes)
    assert equal_bits(hw.prelu(data, slopes), expected)
    assert equal_bits(hw.prelu_backward(data[..., :1], data, slopes), backward)


@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_of_any_layout(threads: int) -> None:
    """Rows, columns, Fortran order, an overlap with the input, an output whose elements share memory."""
    hw.set_num_threads(threads)
    x = numbers((400, 300))
    expected = hw.silu(x)
    for make in (
        lambda: np.zeros((800, 300), np.float32)[::2],
        lambda: np.zeros((400, 600), np.float32)[:, ::2],
        lambda: np.zeros((400, 300), np.float32, order="F"),
        lambda: np.zeros((300, 800), np.float32)[:, ::2].T,
        lambda: np.zeros((400, 300), np.float32)[::-1],
    ):
        out = make()
        assert hw.silu(x, out=out) is out
        assert equal_bits(out, expected)
    shifted = np.concatenate([x, x])
    assert equal_bits(hw.silu(shifted[:400], out=shifted[1:401]), expected)
    transposed = x[:300].copy()
    assert equal_bits(hw.silu(transposed, out=transposed.T), expected[:300])
    shared = np.lib.stride_tricks.as_strided(np.zeros(300, np.float32), (400, 300), (0, 4))
    assert equal_bits(hw.silu(x, out=shared)[0], expected[-1])
    packed = np.zeros((400, 600), np.float32)
    hw.swiglu_backward(x, x, x, out=(packed[:, :300], packed[:, 300:]))
    assert same((packed[:, :300], packed[:, 300:]), tuple(hw.swiglu_backward(x, x, x)))


def test_the_gil_is_released() -> None:
    """Another thread of Python's runs during a large call."""
    x = np.ones(1 << 20, np.float32)
    done = threading.Event()
    turns = 0

    def take_turns() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            time.sleep(0)

    other = threading.Thread(target=take_turns)
    interval = sys.getswitchinterval()
    other.start()
    sys.setswitchinterval(60)  # nobody is overtaken who does not let go of the lock
    try:
        before, overtaken = turns, False
        for _ in range(1000):
            hw.mish(x, out=x)
            overtaken = overtaken or turns > before
            if overtaken:
                break
    finally:
        done.set()
        sys.setswitchinterval(interval)
        other.join()
    assert overtaken
