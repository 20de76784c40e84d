"""The libraries, one class each: how a cell is written in it.

A call is a line of Python and the names in it, as for `timeit`: nothing but the library's own call is timed, and the
results can tell what was called.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .cells import Cell
from .data import NUMPY_NAMES, Array, Data
from .formulas import GATED, REQUIRED, Unsupported, expressions, names_in, rewrite


@dataclass(frozen=True)
class Call:
    """A line of Python, and what its names stand for."""

    code: str
    names: dict[str, Any]


class Peer(ABC):
    """A library. `module` is what has to be importable."""

    name: ClassVar[str]
    module: ClassVar[str]
    fixed_isa: ClassVar[bool] = False  # it picks instructions as it likes, and cannot be held to fewer

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.library = importlib.import_module(self.module)

    @abstractmethod
    def call(self, cell: Cell, data: Data) -> Call:
        """Return how the cell is computed, or raise Unsupported."""

    def array(self, result: Any) -> Array:
        """Return a result as an array."""
        return np.asarray(result)

    def version(self) -> str:
        """Return the library's version."""
        return str(self.library.__version__)


def forward_only(cell: Cell) -> None:
    """Refuse every other direction."""
    if cell.direction != "forward":
        raise Unsupported("forward passes only")


def _with_out(cell: Cell) -> None:
    if cell.direction == "fresh":
        raise Unsupported("compared with out= only")


class Halfwave(Peer):
    """This library."""

    name, module = "halfwave", "halfwave"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if hasattr(self.library, "set_num_threads"):
            self.library.set_num_threads(threads)

    def call(self, cell: Cell, data: Data) -> Call:
        """Call the ufunc, and the gated units' plain backward function."""
        function: Any = self.library.identity if cell.function == "copy" else self._function(cell)
        out = "(out0, out1)" if len(data.outputs) == 2 else "out"
        arguments = [*data.operands, *map(repr, REQUIRED.get(cell.function, ()))]
        arguments += [f"out={out}"] if cell.direction != "fresh" else []
        return Call(f"f({', '.join(arguments)})", data.names | {"f": function})

    def _function(self, cell: Cell) -> Any:
        if cell.is_limit:
            raise Unsupported("not a function of halfwave")
        function = self.library.functions()[cell.function]
        attribute = {"backward": "backward", "output": "backward_from_output"}.get(cell.direction)
        return getattr(function, attribute) if attribute else function

    def version(self) -> str:
        """Return version and instruction set."""
        return f"{self.library.__version__} ({self.library.instruction_set()})"


class NumPy(Peer):
    """NumPy, by its own functions where one call does it, else by the formula."""

    name, module = "numpy", "numpy"
    codes: ClassVar[dict[tuple[str, str], str]] = {
        ("copy", "forward"): "copyto(out, x)",
        ("add", "forward"): "add(g, x, out=out)",
        ("read", "forward"): "x.max()",
        ("negative", "forward"): "negative(x, out=out)",
        ("relu", "forward"): "maximum(x, 0, out=out)",
        ("relu", "fresh"): "maximum(x, 0)",
        ("relu", "backward"): "multiply(g, x > 0, out=out)",
        ("relu", "output"): "multiply(g, y > 0, out=out)",
        ("relu6", "forward"): "clip(x, 0, 6, out=out)",
        ("hardtanh", "forward"): "clip(x, -1, 1, out=out)",
        ("clipped_relu", "forward"): "clip(x, 0, 1, out=out)",
        ("tanh", "forward"): "tanh(x, out=out)",
        ("identity", "forward"): "copyto(out, x)",
        ("identity", "backward"): "copyto(out, g)",
        ("bilinear", "forward"): "multiply(gate, up, out=out)",
    }

    def call(self, cell: Cell, data: Data) -> Call:
        """Prefer a single call."""
        code = self.codes.get((cell.function, cell.direction))
        if code is None:
            code = ", ".join(expressions(cell.function, cell.direction))
        if "erf(" in code:
            raise Unsupported("NumPy has no erf")
        own = {n: getattr(np, n) for n in ("copyto", "add", "negative", "multiply", "clip")}
        return Call(code, NUMPY_NAMES | own | data.names)


class Torch(Peer):
    """PyTorch: its kernels with out= where it has them, autograd's backward where it has no kernel for one."""

    name, module = "torch", "torch"
    # {o} is ", out=out", or nothing in a fresh call
    forward: ClassVar[dict[str, str]] = {
        "copy": "out.copy_(x)",
        "add": "torch.add(g, x, out=out)",
        "read": "x.max()",
        "negative": "torch.neg(x{o})",
        "relu": "torch.clamp_min(x, 0{o})",
        "relu6": "nn.hardtanh(x, 0.0, 6.0{o})",
        "clipped_relu": "nn.hardtanh(x, 0.0, 1.0{o})",
        "threshold": "threshold(x, 1.0, -2.0{o})",
        "thresholded_relu": "threshold(x, 1.0, 0.0{o})",
        "leaky_relu": "nn.leaky_relu(x, 0.01{o})",
        "prelu": "torch.prelu(x, weight)",
        "rrelu": f"nn.leaky_relu(x, {11 / 48!r}{{o}})",
        "elu": "nn.elu(x{o})",
        "selu": "nn.elu(x, 1.6732632423543772, 1.0507009873554805{o})",
        "celu": "nn.elu(x{o})",
        "gelu": "nn.gelu(x{o})",
        "gelu_tanh": "nn.gelu(x, approximate='tanh'{o})",
        "silu": "nn.silu(x{o})",
        "swish": "nn.silu(x{o})",
        "mish": "nn.mish(x{o})",
        "softplus": "nn.softplus(x{o})",
        "hardtanh": "nn.hardtanh(x{o})",
        "hardsigmoid": "nn.hardsigmoid(x{o})",
        "hardswish": "nn.hardswish(x{o})",
        "softshrink": "nn.softshrink(x, 0.5{o})",
        "hardshrink": "hardshrink(x, 0.5{o})",
        "sigmoid": "torch.sigmoid(x{o})",
        "logsigmoid": "nn.log_sigmoid(x{o})",
        "tanh": "torch.tanh(x{o})",
        "identity": "out.copy_(x)",
        "glu": "torch.mul(torch.sigmoid(gate, out=out), up, out=out)",
        "bilinear": "torch.mul(gate, up, out=out)",
        "reglu": "torch.mul(torch.clamp_min(gate, 0, out=out), up, out=out)",
        "geglu": "torch.mul(nn.gelu(gate, out=out), up, out=out)",
        "geglu_tanh": "torch.mul(nn.gelu(gate, approximate='tanh', out=out), up, out=out)",
        "swiglu": "torch.mul(nn.silu(gate, out=out), up, out=out)",
    }
    backward: ClassVar[dict[str, str]] = {
        "relu": "aten.threshold_backward(g, x, 0, grad_input=out)",
        "relu6": "aten.hardtanh_backward(g, x, 0, 6, grad_input=out)",
        "clipped_relu": "aten.hardtanh_backward(g, x, 0, 1, grad_input=out)",
        "threshold": "aten.threshold_backward(g, x, 1, grad_input=out)",
        "thresholded_relu": "aten.threshold_backward(g, x, 1, grad_input=out)",
        "leaky_relu": "aten.leaky_relu_backward(g, x, 0.01, False, grad_input=out)",
        "prelu": "aten.leaky_relu_backward(g, x, 0.25, False, grad_input=out)",
        "rrelu": f"aten.leaky_relu_backward(g, x, {11 / 48!r}, False, grad_input=out)",
        "elu": "aten.elu_backward(g, 1.0, 1.0, 1.0, False, x, grad_input=out)",
        "selu": "aten.elu_backward(g, 1.6732632423543772, 1.0507009873554805, 1.0, False, x, grad_input=out)",
        "celu": "aten.elu_backward(g, 1.0, 1.0, 1.0, False, x, grad_input=out)",
        "gelu": "aten.gelu_backward(g, x, grad_input=out)",
        "gelu_tanh": "aten.gelu_backward(g, x, approximate='tanh', grad_input=out)",
        "silu": "aten.silu_backward(g, x, grad_input=out)",
        "swish": "aten.silu_backward(g, x, grad_input=out)",
        "mish": "aten.mish_backward(g, x)",
        "softplus": "aten.softplus_backward(g, x, 1, 20, grad_input=out)",
        "hardtanh": "aten.hardtanh_backward(g, x, -1, 1, grad_input=out)",
        "hardsigmoid": "aten.hardsigmoid_backward(g, x, grad_input=out)",
        "hardswish": "aten.hardswish_backward(g, x)",
        "softshrink": "aten.softshrink_backward(g, x, 0.5, grad_input=out)",
        "hardshrink": "aten.hardshrink_backward(g, x, 0.5, grad_input=out)",
        # these two have kernels from the output only: what a step costs that has not kept it
        "sigmoid": "aten.sigmoid_backward(g, torch.sigmoid(x, out=out), grad_input=out)",
        "tanh": "aten.tanh_backward(g, torch.tanh(x, out=out), grad_input=out)",
        "logsigmoid": "aten.log_sigmoid_backward(g, x, buffer, grad_input=out)",
        "identity": "out.copy_(g)",
    }
    output: ClassVar[dict[str, str]] = {
        "relu": "aten.threshold_backward(g, y, 0, grad_input=out)",
        "leaky_relu": "aten.leaky_relu_backward(g, y, 0.01, True, grad_input=out)",
        "elu": "aten.elu_backward(g, 1.0, 1.0, 1.0, True, y, grad_input=out)",
        "selu": "aten.elu_backward(g, 1.6732632423543772, 1.0507009873554805, 1.0, True, y, grad_input=out)",
        "celu": "aten.elu_backward(g, 1.0, 1.0, 1.0, True, y, grad_input=out)",
        "sigmoid": "aten.sigmoid_backward(g, y, grad_input=out)",
        "tanh": "aten.tanh_backward(g, y, grad_input=out)",
    }

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.library.set_num_threads(threads)
        self.library.set_grad_enabled(False)
        functions = ("where", "exp", "expm1", "log1p", "tanh", "sqrt", "abs", "erf")
        self.names = {n: getattr(self.library, n) for n in functions} | {
            "maximum": self.library.clamp_min,
            "minimum": self.library.clamp_max,
            "indicator": lambda condition: condition,
            "torch": self.library,
            "nn": importlib.import_module("torch._C._nn"),
            "aten": self.library.ops.aten,
            "threshold": self.library.ops.aten.threshold,
            "hardshrink": self.library.ops.aten.hardshrink,
        }

    def call(self, cell: Cell, data: Data) -> Call:
        """Prefer its kernels, then composition, then autograd."""
        names = self.names | {name: self._tensor(a) for name, a in data.names.items()}
        if cell.function == "prelu":
            names["weight"] = self.library.tensor([0.25], dtype=names["out"].dtype)
        if cell.function == "logsigmoid" and cell.direction == "backward":
            names["buffer"] = self.library.ops.aten.log_sigmoid_forward(names["x"])[1]
        codes = {"backward": self.backward, "output": self.output}.get(cell.direction, self.forward)
        if code := codes.get(cell.function):
            return Call(code.format(o="" if cell.direction == "fresh" else ", out=out"), names)
        if cell.direction == "backward":
            return self._autograd(cell, data, names)
        return Call(", ".join(expressions(cell.function, cell.direction)), names)

    def _autograd(self, cell: Cell, data: Data, names: dict[str, Any]) -> Call:
        """Differentiate the forward pass; only the way back is timed."""
        inputs = {n: t.detach().requires_grad_() for n, t in names.items() if n in data.operands and n != "g"}
        forward = expressions(cell.function, "forward")[0]
        with self.library.enable_grad():
            result = eval(forward, names | inputs)
        call = f"grad(result, ({', '.join(inputs)},), g, retain_graph=True)"
        return Call(call, names | inputs | {"grad": self.library.autograd.grad, "result": result})

    def _tensor(self, array: Array) -> Any:
        if array.dtype.name == "bfloat16":
            return self.library.from_numpy(array.view(np.int16)).view(self.library.bfloat16)
        return self.library.from_numpy(array)

    def array(self, result: Any) -> Array:
        """Return a tensor as an array; bfloat16 as float32."""
        values: Array = (result.float() if result.dtype == self.library.bfloat16 else result).numpy()
        return values


class Jax(Peer):
    """JAX: jit of `jax.nn`, and of its vector-Jacobian product. It has no out=."""

    name, module = "jax", "jax"
    own: ClassVar[dict[str, str]] = {
        **{n: n for n in ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "softplus")},
        **{n: n for n in ("squareplus", "sparse_plus", "sparse_sigmoid", "sigmoid", "tanh", "identity")},
        "swish": "silu",
        "hardtanh": "hard_tanh",
        "hardsigmoid": "hard_sigmoid",
        "hardswish": "hard_swish",
        "softsign": "soft_sign",
        "logsigmoid": "log_sigmoid",
    }

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.library.config.update("jax_enable_x64", True)

    def _function(self, cell: Cell) -> Callable[..., Any]:
        if cell.function in ("gelu", "gelu_tanh"):
            approximate = cell.function == "gelu_tanh"
            return lambda x: self.library.nn.gelu(x, approximate=approximate)
        if cell.function in self.own:
            function: Callable[..., Any] = getattr(self.library.nn, self.own[cell.function])
            return function
        (expression,) = expressions(cell.function, "forward")
        names = {n: getattr(self.library.numpy, n) for n in NUMPY_NAMES if n != "indicator"}
        names["erf"] = self.library.scipy.special.erf
        arguments = "gate, up" if cell.function in GATED else "x"
        made: Callable[..., Any] = eval(f"lambda {arguments}: {expression}", names)
        return made

    def call(self, cell: Cell, data: Data) -> Call:
        """Compile the function or its derivative."""
        _with_out(cell)
        if cell.is_limit or cell.direction == "output":
            raise Unsupported("no kernel of its own")
        f = self._function(cell)
        if cell.direction == "backward":
            forward = f

            def f(g: Any, *inputs: Any) -> Any:
                gradients = self.library.vjp(forward, *inputs)[1](g)
                return gradients if len(gradients) > 1 else gradients[0]

        arrays = {name: self.library.numpy.asarray(a) for name, a in data.operands.items()}
        wait = {"wait": self.library.block_until_ready}
        return Call(f"wait(f({', '.join(arrays)}))", arrays | wait | {"f": self.library.jit(f)})


class NumExpr(Peer):
    """numexpr: the formula, compiled once, in blocks that stay in cache."""

    name, module = "numexpr", "numexpr"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.library.set_num_threads(threads)

    def call(self, cell: Cell, data: Data) -> Call:
        """Compile the expressions; a pair is two runs."""
        _with_out(cell)
        if data.outputs[0].dtype.name not in ("float32", "float64", "int32"):
            raise Unsupported("numexpr has no such dtype")
        names: dict[str, Any] = {**data.names, "how": {"order": "K", "casting": "safe", "ex_uses_vml": False}}
        runs, texts = [], []
        for i, expression in enumerate(expressions(cell.function, cell.direction)):
            constants: list[float] = []
            text = rewrite(expression, constants=constants, selects=True)
            dtype = data.outputs[0].dtype
            arguments = {n: a for n, a in data.operands.items() if n in names_in(text)}
            arguments |= {f"c{k}": np.asarray(c, dtype) for k, c in enumerate(constants)}
            try:
                signature = [(n, self.library.necompiler.getType(a)) for n, a in arguments.items()]
                names[f"f{i}"] = self.library.NumExpr(text, signature)
            except Exception as error:
                raise Unsupported(f"no such function or dtype: {error!r}") from error
            renamed = {n: n if n in data.operands else f"f{i}_{n}" for n in arguments}
            names |= {renamed[n]: a for n, a in arguments.items()}
            runs.append(f"f{i}({', '.join(renamed.values())}, out=out{i}, **how)")
            texts.append(text)
        return Call(f"{', '.join(runs)}  # {'; '.join(texts)}", names)


class Numba(Peer):
    """numba: a loop as one writes it, `prange` where there are threads, no fastmath."""

    name, module = "numba", "numba"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.compiled: dict[tuple[str, str, str], Any] = {}

    def call(self, cell: Cell, data: Data) -> Call:
        """Compile the loop once for all sizes."""
        _with_out(cell)
        if data.outputs[0].dtype.name not in ("float32", "float64", "int32"):
            raise Unsupported("numba has no such dtype")
        which = (cell.function, cell.direction, cell.dtype)
        if which not in self.compiled:
            self.compiled[which] = self._loop(cell, data)
        arguments = [*data.operands, *(f"out{i}" for i in range(len(data.outputs)))]
        return Call(f"f({', '.join(arguments)})", data.names | {"f": self.compiled[which]})

    def _loop(self, cell: Cell, data: Data) -> Any:
        constants: list[float] = []
        names = [*data.operands, *(f"out{i}" for i in range(len(data.outputs)))]
        lines = [f"def f({', '.join(names)}):", f"    for i in prange({names[0]}.size):"]
        for k, expression in enumerate(expressions(cell.function, cell.direction)):
            scalars = {n: f"{n}[i]" for n in data.operands}
            text = rewrite(expression, names=scalars, constants=constants, conditional=True, selects=True)
            lines.append(f"        out{k}[i] = {text}")
        math = importlib.import_module("math")
        scope = {n: getattr(math, n) for n in ("exp", "expm1", "log1p", "tanh", "sqrt", "erf")} | {"abs": abs}
        scope |= {f"c{k}": data.outputs[0].dtype.type(c) for k, c in enumerate(constants)}
        scope["prange"] = self.library.prange
        exec("\n".join(lines), scope)
        return self.library.njit(scope["f"], parallel=self.threads > 1, error_model="numpy")


class SciPy(Peer):
    """SciPy, for what `scipy.special` has."""

    name, module = "scipy", "scipy"
    codes: ClassVar[dict[tuple[str, str], str]] = {
        ("sigmoid", "forward"): "expit(x, out=out)",
        ("sigmoid", "backward"): "g * (s := expit(x)) * (1 - s)",
        ("silu", "forward"): "multiply(x, expit(x, out=out), out=out)",
        ("silu", "backward"): "g * (s := expit(x)) * (1 + x * (1 - s))",
        ("logsigmoid", "forward"): "log_expit(x, out=out)",
        ("logsigmoid", "backward"): "multiply(g, expit(-x), out=out)",
        ("softplus", "forward"): "negative(log_expit(-x, out=out), out=out)",
        ("softplus", "backward"): "multiply(g, expit(x, out=out), out=out)",
        ("gelu", "forward"): "multiply(x, ndtr(x, out=out), out=out)",
        ("gelu", "backward"): "g * (ndtr(x) + x * (0.3989422804014327 * exp(-0.5 * x * x)))",
        ("laplace", "forward"): "ndtr((x - 0.7071067811865476) * 3.5449077018110318, out=out)",
    }

    def call(self, cell: Cell, data: Data) -> Call:
        """Look the line up."""
        code = self.codes.get((cell.function, cell.direction))
        if code is None:
            raise Unsupported("not in scipy.special")
        special = importlib.import_module("scipy.special")
        names = {n: getattr(special, n) for n in ("expit", "log_expit", "ndtr")}
        return Call(code, names | {n: getattr(np, n) for n in ("multiply", "negative", "exp")} | data.names)
