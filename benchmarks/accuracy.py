"""Measure the errors of halfwave and of every peer that is installed, and write docs/accuracy_peers.json.

    python -m benchmarks.accuracy [--step 509] [--json FILE]

In float32, over every 509th number and the neighbourhoods of the hard ones, forward and backward at gradient 1: the
greatest error; where results are lost, that is zero, NaN or without a correct digit where the exact value is a normal
number; whether bits depend on the place in the array; and whether they depend on the instruction set, which a second
process finds out. `python tools/accuracy_page.py` makes the page of it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import halfwave as hw
import numpy as np
from halfwave.verify.cases import Case, cases
from halfwave.verify.measure import Measurement, measure
from halfwave.verify.rounding import FORMATS, Array
from halfwave.verify.rows import sample
from tqdm import tqdm

from .machine import processor

NAMES = (
    *("sigmoid", "silu", "tanh", "gelu", "gelu_tanh", "quick_gelu", "elu", "selu", "softplus", "logsigmoid", "mish"),
    *("softsign", "tanhshrink", "hardswish", "hardsigmoid"),
)
FLOAT32 = FORMATS["float32"]
ROOT = Path(__file__).parents[1]
CHUNK = 1 << 15
Functions = dict[tuple[str, str], Callable[[Array], Array]]


# ---- Halfwave and its peers ------------------------------------------------------------------------------------------


def halfwave_functions() -> Functions:
    """Halfwave's."""
    return {(c.name, c.role): c for c in cases() if c.name in NAMES and c.role in ("forward", "backward")}


def torch_functions() -> Functions:
    """PyTorch's, with the gradients of autograd."""
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    forwards = {name: getattr(functional, name) for name in NAMES if hasattr(functional, name)}
    forwards |= {"sigmoid": torch.sigmoid, "tanh": torch.tanh}
    forwards["gelu_tanh"] = lambda x: functional.gelu(x, approximate="tanh")

    def forward(f: Any) -> Callable[[Array], Array]:
        return lambda x: np.asarray(f(torch.from_numpy(x)))

    def backward(f: Any) -> Callable[[Array], Array]:
        def gradient(x: Array) -> Array:
            tx = torch.from_numpy(x).requires_grad_()
            (g,) = torch.autograd.grad(f(tx), tx, torch.ones_like(tx))
            return np.asarray(g)

        return gradient

    return {(n, "forward"): forward(f) for n, f in forwards.items()} | {
        (n, "backward"): backward(f) for n, f in forwards.items()
    }


def jax_functions() -> Functions:
    """JAX's, compiled."""
    jax = importlib.import_module("jax")
    nn = jax.nn
    forwards = {
        "sigmoid": nn.sigmoid,
        "silu": nn.silu,
        "tanh": jax.numpy.tanh,
        "gelu": lambda x: nn.gelu(x, approximate=False),
        "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
        "elu": nn.elu,
        "selu": nn.selu,
        "softplus": nn.softplus,
        "logsigmoid": nn.log_sigmoid,
        "mish": nn.mish,
        "softsign": nn.soft_sign,
        "hardswish": nn.hard_swish,
        "hardsigmoid": nn.hard_sigmoid,
    }

    def compiled(f: Any) -> Callable[[Array], Array]:
        fast = jax.jit(f)
        return lambda x: np.asarray(fast(x))

    def gradient(f: Any) -> Any:
        return lambda x: jax.vjp(f, x)[1](jax.numpy.ones_like(x))[0]

    return {(n, "forward"): compiled(f) for n, f in forwards.items()} | {
        (n, "backward"): compiled(gradient(f)) for n, f in forwards.items()
    }


def onnxruntime_functions() -> Functions:
    """ONNX Runtime's, on its processor provider; it has no gradients."""
    runtime, onnx = importlib.import_module("onnxruntime"), importlib.import_module("onnx")
    helper = onnx.helper
    operators: dict[str, tuple[str, dict[str, Any]]] = {
        "sigmoid": ("Sigmoid", {}),
        "tanh": ("Tanh", {}),
        "gelu": ("Gelu", {}),
        "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
        "elu": ("Elu", {}),
        "selu": ("Selu", {}),
        "softplus": ("Softplus", {}),
        "mish": ("Mish", {}),
        "softsign": ("Softsign", {}),
        "hardswish": ("HardSwish", {}),
        "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    }

    def session(operator: str, attributes: dict[str, Any]) -> Callable[[Array], Array]:
        def value(name: str) -> Any:
            return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"])

        node = helper.make_node(operator, ["x"], ["y"], **attributes)
        graph = helper.make_graph([node], "one", [value("x")], [value("y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        one = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return lambda x: np.asarray(one.run(None, {"x": x})[0])

    return {(n, "forward"): session(*o) for n, o in operators.items()}


def scipy_functions() -> Functions:
    """SciPy's special functions, and what is written with them."""
    special = importlib.import_module("scipy.special")
    return {
        ("sigmoid", "forward"): special.expit,
        ("silu", "forward"): lambda x: x * special.expit(x),
        ("gelu", "forward"): lambda x: x * special.ndtr(x),
        ("logsigmoid", "forward"): special.log_expit,
        ("sigmoid", "backward"): lambda x: special.expit(x) * special.expit(-x),
    }


def numpy_functions() -> Functions:
    """What is usually written in NumPy."""
    one = np.float32(1)

    def sigmoid(x: Array) -> Array:
        return np.asarray(one / (one + np.exp(-x)))

    def inner(x: Array) -> Array:
        return np.asarray(np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)))

    def softplus(x: Array) -> Array:
        return np.logaddexp(np.float32(0), x)

    return {
        ("sigmoid", "forward"): sigmoid,
        ("sigmoid", "backward"): lambda x: sigmoid(x) * (one - sigmoid(x)),
        ("silu", "forward"): lambda x: x * sigmoid(x),
        ("silu", "backward"): lambda x: sigmoid(x) * (one + x * (one - sigmoid(x))),
        ("tanh", "forward"): np.tanh,
        ("tanh", "backward"): lambda x: one - np.tanh(x) ** 2,
        ("gelu_tanh", "forward"): lambda x: np.float32(0.5) * x * (one + inner(x)),
        ("quick_gelu", "forward"): lambda x: x * sigmoid(np.float32(1.702) * x),
        ("elu", "forward"): lambda x: np.where(x > 0, x, np.exp(x) - one),
        ("elu", "backward"): lambda x: np.where(x > 0, one, np.exp(x)),
        ("softplus", "forward"): softplus,
        ("softplus", "backward"): sigmoid,
        ("logsigmoid", "forward"): lambda x: -softplus(-x),
        ("mish", "forward"): lambda x: x * np.tanh(softplus(x)),
        ("softsign", "forward"): lambda x: x / (one + np.abs(x)),
        ("tanhshrink", "forward"): lambda x: x - np.tanh(x),
        ("hardswish", "forward"): lambda x: x * np.clip(x + np.float32(3), 0, 6) / np.float32(6),
        ("hardsigmoid", "forward"): lambda x: np.clip(x / np.float32(6) + np.float32(0.5), 0, 1),
    }


def _numpy_features() -> str:
    dispatched = importlib.import_module("numpy._core._multiarray_umath").__cpu_dispatch__
    return " ".join(f for f in dispatched if f.startswith(("AVX512", "X86_V4")))


# What each is, and the environment that keeps it from using AVX-512, where there is one.
PEERS: dict[str, tuple[Callable[[], Functions], dict[str, str] | None]] = {
    "halfwave": (halfwave_functions, {"HALFWAVE_ISA": "avx2"}),
    "torch": (torch_functions, {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "onnxruntime": (onnxruntime_functions, None),
    "jax": (jax_functions, {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}),
    "scipy": (scipy_functions, None),
    "numpy": (numpy_functions, {"NPY_DISABLE_CPU_FEATURES": _numpy_features()}),
}


# ---- Measuring -------------------------------------------------------------------------------------------------------


def inputs(case: Case, step: int) -> Array:
    """Every so many-th finite float32, and the hard ones."""
    x = np.arange(0, 1 << 32, step, dtype=np.uint32).view(np.float32)
    return np.unique(np.concatenate([x[np.isfinite(x)], *sample(case, FLOAT32, _parameters(case), 30_000, 100)]))


def errors(case: Case, function: Callable[[Array], Array], x: Array) -> dict[str, Any]:
    """The greatest error, and where results are lost, nearest to 0."""
    found, lost, first = Measurement(), 0, np.inf
    for start in range(0, x.size, CHUNK):
        part = np.ascontiguousarray(x[start : start + CHUNK])
        results = function(part)
        found.add(measure(case, FLOAT32, (part,), _parameters(case), results, found.maximum))
        exact = case.values(part, *_parameters(case))
        normal = (np.abs(exact) >= FLOAT32.tiny) & (np.abs(exact) <= FLOAT32.largest)
        with np.errstate(all="ignore"):
            gone = normal & ~(np.abs(results - exact) < np.abs(exact) / 2)
        lost += int(np.count_nonzero(gone))
        first = min([first, *part[gone]], key=abs)
    return {
        "maximum": found.maximum if np.isfinite(found.maximum) else "inf",
        "at": found.at[0].hex(),
        "lost": lost / x.size,
        "lost_from": float(first) if lost else None,
    }


def _parameters(case: Case) -> tuple[float, ...]:
    return tuple(p.default for p in case.ufunc.parameters)


def probes() -> Array:
    """Numbers of everyday size, with which bits are compared."""
    return (4 * np.random.default_rng(11).standard_normal(6006)).astype(np.float32)


def depends_on_place(function: Callable[[Array], Array]) -> float:
    """The share of elements whose bits differ when the array is handed over in pieces of seven, unaligned."""
    x = probes()
    pieces = [function(np.ascontiguousarray(x[i : i + 7])) for i in range(0, x.size, 7)]
    return _differing(function(x), np.concatenate(pieces))


def _differing(a: Array, b: Array) -> float:
    return float(np.mean(a.view(np.uint32) != b.view(np.uint32)))


def depends_on_instructions(peer: str, environment: dict[str, str]) -> dict[str, float]:
    """The share of elements whose bits differ where the environment forbids AVX-512, for each function."""
    with tempfile.TemporaryDirectory() as folder:
        both = []
        for name, extra in (("usual", {}), ("restricted", environment)):
            path = Path(folder) / f"{name}.npz"
            command = [sys.executable, "-m", "benchmarks.accuracy", "--probe", peer, "--json", str(path)]
            environ = {**os.environ, **extra}
            subprocess.run(command, env=environ, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
            both.append(np.load(path))
        return {key: _differing(both[0][key], both[1][key]) for key in both[0].files}


def installed() -> dict[str, Functions]:
    """The functions of each peer that can be imported."""
    found = {}
    for peer, (make, _) in PEERS.items():
        try:
            found[peer] = make()
        except ImportError:
            print(f"{peer} is not installed", file=sys.stderr)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--step", type=int, default=509, help="take every so many-th float32, default 509")
    default = ROOT / "docs/accuracy_peers.json"
    parser.add_argument("--json", type=Path, default=default, help="where to write, default docs/accuracy_peers.json")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    np.seterr(all="ignore")
    if options.probe:
        functions = PEERS[options.probe][0]()
        np.savez(options.json, **{"-".join(key): f(probes()) for key, f in functions.items()})  # type: ignore[arg-type]
        return

    peers, rows = installed(), []
    instructions = {
        peer: depends_on_instructions(peer, environment)
        for peer, (_, environment) in PEERS.items()
        if peer in peers and environment and "avx512" in hw.instruction_sets()
    }
    ours = [c for name in NAMES for c in cases() if c.name == name and c.role in ("forward", "backward")]
    with tqdm(total=sum(len(f) for f in peers.values()), disable=None) as progress:
        for case in ours:
            x, key = inputs(case, options.step), (case.name, case.role)
            for peer, functions in peers.items():
                if key not in functions:
                    continue
                row = {"name": case.name, "role": case.role, "peer": peer, **errors(case, functions[key], x)}
                row["by_place"] = depends_on_place(functions[key])
                row["by_instructions"] = instructions.get(peer, {}).get("-".join(key))
                rows.append(row)
                progress.update()
    about = {
        "versions": {peer: importlib.metadata.version(peer) for peer in peers if peer != "halfwave"}
        | {"halfwave": hw.__version__},
        "instruction_set": hw.instruction_set(),
        "processor": processor(),
        "date": datetime.date.today().isoformat(),
        "step": options.step,
    }
    options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
