"""The names that other libraries give to these functions, and the defaults that they give them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._functions import _registry

Defaults = Mapping[str, float | str]


def _same(names: str, **others: str | tuple[str, Defaults]) -> dict[str, tuple[str, Defaults]]:
    """Names that are ours, and names that stand for one of ours, with the defaults that differ."""
    table: dict[str, tuple[str, Defaults]] = {name: (name, {}) for name in names.split()}
    for name, target in others.items():
        table[name] = (target, {}) if isinstance(target, str) else target
    return table


# What these libraries call glu takes one array, with the gate in its second half.
_GATE_LAST: tuple[str, Defaults] = ("glu_packed", {"layout": "gate_last"})

# For each library: its name -> our function, and those of its defaults that are not ours.
LIBRARIES: Mapping[str, Mapping[str, tuple[str, Defaults]]] = {
    "torch": _same(
        "relu relu6 threshold leaky_relu prelu rrelu elu selu celu gelu silu mish softplus hardtanh hardsigmoid "
        "hardswish softshrink hardshrink tanhshrink softsign sigmoid logsigmoid tanh",
        ReLU="relu",
        ReLU6="relu6",
        Threshold="threshold",
        LeakyReLU="leaky_relu",
        PReLU="prelu",
        RReLU="rrelu",
        ELU="elu",
        SELU="selu",
        CELU="celu",
        GELU="gelu",
        SiLU="silu",
        Mish="mish",
        Softplus="softplus",
        Hardtanh="hardtanh",
        Hardsigmoid="hardsigmoid",
        Hardswish="hardswish",
        Softshrink="softshrink",
        Hardshrink="hardshrink",
        Tanhshrink="tanhshrink",
        Softsign="softsign",
        Sigmoid="sigmoid",
        LogSigmoid="logsigmoid",
        Tanh="tanh",
        Identity="identity",
        expit="sigmoid",
        glu=_GATE_LAST,
        GLU=_GATE_LAST,
    ),
    "jax": _same(
        "relu relu6 sigmoid softplus sparse_plus sparse_sigmoid silu leaky_relu tanh elu celu selu squareplus mish "
        "identity",
        gelu="gelu_tanh",
        swish="silu",
        soft_sign="softsign",
        log_sigmoid="logsigmoid",
        hard_sigmoid="hardsigmoid",
        hard_silu="hardswish",
        hard_swish="hardswish",
        hard_tanh="hardtanh",
        glu=_GATE_LAST,
    ),
    "keras": _same(
        "relu relu6 celu elu selu softplus softsign sparse_plus sparse_sigmoid silu squareplus gelu tanh threshold "
        "sigmoid mish",
        leaky_relu=("leaky_relu", {"negative_slope": 0.2}),
        LeakyReLU=("leaky_relu", {"negative_slope": 0.3}),
        ReLU="relu",
        PReLU="prelu",
        ELU="elu",
        swish="silu",
        soft_shrink="softshrink",
        hard_shrink="hardshrink",
        tanh_shrink="tanhshrink",
        hard_sigmoid="hardsigmoid",
        hard_silu="hardswish",
        hard_swish="hardswish",
        hard_tanh="hardtanh",
        log_sigmoid="logsigmoid",
        linear="identity",
        glu=_GATE_LAST,
    ),
    "tensorflow": _same(
        "relu relu6 elu selu gelu silu sigmoid softplus softsign tanh",
        leaky_relu=("leaky_relu", {"negative_slope": 0.2}),
        swish="silu",
    ),
    "onnx": _same(
        "",
        Relu="relu",
        LeakyRelu="leaky_relu",
        PRelu="prelu",
        ThresholdedRelu="thresholded_relu",
        Elu="elu",
        Selu="selu",
        Celu="celu",
        Gelu="gelu",
        HardSigmoid="clipped_linear",
        HardSwish="hardswish",
        Mish="mish",
        Softplus="softplus",
        Softsign="softsign",
        Sigmoid="sigmoid",
        Tanh="tanh",
        Shrink="hardshrink",
        Swish="swish",
        Identity="identity",
    ),
    "huggingface": _same(
        "gelu laplace leaky_relu mish prelu quick_gelu relu relu6 sigmoid silu tanh xielu",
        gelu_python="gelu",
        gelu_new="gelu_tanh",
        gelu_fast="gelu_tanh",
        gelu_accurate="gelu_tanh",
        gelu_pytorch_tanh="gelu_tanh",
        gelu_python_tanh="gelu_tanh",
        relu2="squared_relu",
        swish="silu",
        linear="identity",
    ),
    "timm": _same(
        "silu mish relu relu6 leaky_relu elu prelu celu selu gelu gelu_tanh quick_gelu sigmoid tanh hard_mish identity",
        swish="silu",
        hard_sigmoid="hardsigmoid",
        hard_swish="hardswish",
    ),
    "scipy": _same("", expit="sigmoid", log_expit="logsigmoid"),
}


class BoundActivation:
    """An activation with another library's defaults: called like the function behind it, with the same attributes.

    Parameters that are given in a call take precedence.
    """

    _FUNCTIONS = ("backward", "backward_from_output", "parameter_backward", "second_derivative")

    def __init__(self, function: Any, defaults: Defaults) -> None:
        self.function = function
        self.defaults = dict(defaults)
        operands = inspect.signature(function).parameters.values()
        self._data = sum(p.kind is p.POSITIONAL_ONLY for p in operands)
        for role in self._FUNCTIONS:
            target = getattr(function, role, None)
            setattr(self, role, None if target is None else BoundActivation(target, defaults))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function behind, with the defaults filled in for what is not given."""
        positional = [p.name for p in self.function.parameters][: max(0, len(args) - self._data)]
        missing = {k: v for k, v in self.defaults.items() if k not in kwargs and k not in positional}
        return self.function(*args, **{**missing, **kwargs})

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name != "__name__") or name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)

    def __repr__(self) -> str:
        return f"<halfwave.{_describe(self.function.__name__, self.defaults)}>"


def get(name: str, library: str | None = None) -> Any:
    """Find an activation by a name that halfwave or another library uses.

    Parameters
    ----------
    name : str
        A name such as "elu", "gelu_pytorch_tanh", "LeakyReLU", "HardSwish", "relu2", "expit" or "linear".
    library : str, optional
        Whose name it is: "halfwave", "torch", "jax", "keras", "tensorflow", "onnx", "huggingface", "timm" or "scipy".
        Needed only where libraries mean different things by it. Case and underscores matter only where a library
        has names that differ in nothing else.

    Returns
    -------
    numpy.ufunc or BoundActivation
        The function, with `.backward` and its other attributes; where the library's defaults differ from ours, they are
        bound. Where its gated unit takes one array that holds both operands, so does the function, and the library's
        layout is bound.

    Raises
    ------
    ValueError
        If no library knows the name, or several mean different things by it: the message lists what there is.
    TypeError
        If `name` is not a string.

    Examples
    --------
    >>> import halfwave as hw
    >>> hw.get("relu2")
    <ufunc 'squared_relu'>
    >>> hw.get("leaky_relu", "tensorflow")
    <halfwave.leaky_relu with negative_slope=0.2>
    >>> hw.get("glu", "torch")
    <halfwave.glu_packed with layout='gate_last'>
    """
    from . import functions

    if not isinstance(name, str):
        raise TypeError(f"get: name must be a string, got {type(name).__name__}")
    ours = functions()
    tables = {"halfwave": _same(" ".join(ours)), **LIBRARIES}
    if library is not None and library not in tables:
        raise ValueError(f"get: library {library!r} is not known; allowed are {', '.join(tables)}")
    found = {
        f"{lib}.{key}": table[key]
        for lib, table in tables.items()
        if library in (None, lib)
        for key in _matches(name, table)
    }
    if not found:
        where = f"library {library!r}" if library else "any library"
        raise ValueError(f"get: {name!r} is not a name in {where}; halfwave has {', '.join(ours)}")
    meanings = list(found.values())
    if any(meaning != meanings[0] for meaning in meanings):
        listed = "; ".join(f"{key}: {_describe(*meaning)}" for key, meaning in found.items())
        raise ValueError(f"get: {name!r} means different things ({listed}); say which with library=")
    target, defaults = meanings[0]
    function = ours[target] if target in ours else ours[target.removesuffix("_packed")].packed
    return BoundActivation(function, defaults) if defaults else function


def _matches(name: str, table: Mapping[str, Any]) -> list[str]:
    """The name itself if the table has it, else those that differ in case and underscores only."""
    return [name] if name in table else [key for key in table if _plain(key) == _plain(name)]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _describe(target: str, defaults: Defaults) -> str:
    listed = ", ".join(f"{k}={v!r}" if isinstance(v, str) else f"{k}={v:g}" for k, v in defaults.items())
    return f"{target} with {listed}" if listed else target


def resolve(value: Any, caller: str) -> Any:
    """The activation that an argument is or names, our own names first; `caller` begins the error's message."""
    if isinstance(value, str):
        return _registry.get(value) or get(value)
    if isinstance(value, (np.ufunc, BoundActivation)) and value.__name__ in _registry:
        return value
    raise TypeError(f"{caller}: activation must be a name, a function of the catalogue or from get(), got {value!r}")
