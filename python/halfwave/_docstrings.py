"""The docstrings of the public functions, composed from the catalogue."""

from __future__ import annotations

from typing import Any

from ._packed import LAYOUTS

_FLOATS = "float16, bfloat16 (of `ml_dtypes`), float32 and float64"
_DTYPES = f"{_FLOATS}; integers and booleans are converted as by `numpy.exp`"
_DTYPES_WITH_INTEGERS = f"{_FLOATS}; int8 to int64 and uint8 to uint64"

_OPERANDS = {
    "x": "The input.",
    "y": "The output of the forward function.",
    "g": "The upstream gradient: that of the loss with respect to the output.",
    "gate": "The operand that passes through the activation.",
    "up": "The operand that is gated.",
}
_PACKED_OPERANDS = {
    "x": "Gate and up in one array, whose length along `axis` is even.",
    "g": "The upstream gradient: that of the loss with respect to the output, half as long as `x` along `axis`.",
}

_RAISES = {
    "TypeError": "For complex, longdouble, object and other dtypes than those above, and for unknown keywords.",
    "ValueError": "If the shapes do not broadcast, or `out` is read-only.",
}

_PACKED_RAISES = {
    "TypeError": "If `layout` is missing, or two operands are given.",
    "ValueError": "If `layout` is none of those above, `x` has no such axis (`numpy.exceptions.AxisError`) or an odd "
    "length along it, or `out` is not of the result's shape.",
}
_KINK_OF_SECOND_DERIVATIVE = (
    "Where two pieces meet, it is that of the piece whose derivative counts there: of the outer one; of two, of that "
    "for x <= 0."
)


def docstring(entry: dict[str, Any], role: str, parameters: tuple[Any, ...]) -> str:
    """Compose the docstring of the activation's function for `role`, in NumPy's style."""
    data = _data_operands(entry, role)
    sections = [
        f"{_title(entry, role)}\n\n{_formula(entry, role)}",
        _parameter_section(entry, role, data, parameters),
        _returns(entry, role, data, parameters),
        _raises(entry, role),
        _notes(entry, role),
        f"References\n----------\n{entry['source']}",
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


def _data_operands(entry: dict[str, Any], role: str) -> list[str]:
    if role.startswith("packed"):
        return ["x"] if role == "packed" else ["g", "x"]
    data = ["gate", "up"] if entry["gated"] else ["y" if role == "backward_from_output" else "x"]
    return data if role in ("forward", "second_derivative") else ["g", *data]


def _title(entry: dict[str, Any], role: str) -> str:
    name = entry["name"]
    return (
        {
            "forward": entry["title"],
            "backward": f"Backward pass of `{name}`: the gradient with respect to its input.",
            "backward_from_output": f"Backward pass of `{name}` from its output, so that its input need not be kept.",
            "backward_gate": f"Backward pass of `{name}`: the gradient with respect to the gate.",
            "backward_up": f"Backward pass of `{name}`: the gradient with respect to `up`.",
            "parameter_backward": f"Backward pass of `{name}`: the gradients with respect to its parameters.",
            "packed": f"`{name}` of one array that holds both operands, which are not copied.",
            "packed_backward": f"Backward pass of `{name}_packed`: both gradients in one pass, packed as its input.",
            "second_derivative": f"Second derivative of `{name}` with respect to its input.",
        }[role]
        if not (entry["gated"] and role == "backward")
        else (
            f"Backward pass of `{name}`: the gradients with respect to the gate and to `up`, in one pass over memory."
        )
    )


def _formula(entry: dict[str, Any], role: str) -> str:
    name = entry["name"]
    return (
        {
            "forward": f"    {name} = {entry['formula']}",
            "backward": f"    g * d,  d = {entry['derivative']}",
            "backward_from_output": f"    g * d,  d = {entry['from_output']}",
            "backward_gate": f"    {entry['derivative']}",
            "backward_up": f"    {entry['derivative']}",
            "packed": f"    {name} = {entry['formula']}",
            "packed_backward": f"    {entry['derivative']}",
            "parameter_backward": "    sum over the broadcast axes of g * d({0}) / d(parameter),  {0} = {1}".format(
                name, entry["formula"]
            ),
            "second_derivative": f"    {entry['curvature']},  for {name} = {entry['formula']}",
        }[role]
        if not (entry["gated"] and role == "backward")
        else f"    {entry['derivative']}"
    )


def _parameter_section(entry: dict[str, Any], role: str, data: list[str], parameters: tuple[Any, ...]) -> str:
    lines = ["Parameters", "----------"]
    keeps_integers = role == "forward" and entry["keeps_integers"]
    dtypes = _DTYPES_WITH_INTEGERS if keeps_integers else _DTYPES
    packed = role.startswith("packed")
    for operand in data:
        lines += [f"{operand} : array_like", f"    {(_PACKED_OPERANDS if packed else _OPERANDS)[operand]} {dtypes}."]
    for p in parameters:
        default = "" if p.default is None else f", default {p.default:.12g}"
        lines += [
            f"{p.name} : float or array_like{default}",
            f"    The {p.meaning}. Broadcasts; its dtype does not matter.",
        ]
        if keeps_integers:
            lines.append("    With integers for data, a whole number; beyond their range it is their last one.")
    if packed:
        lines += ["layout : str", "    How gate and up lie in `x`. There is no default, since libraries differ:"]
        lines += ["", *(f'    - "{layout}": {users}.' for layout, users in LAYOUTS.items()), ""]
        lines += ["axis : int, default -1", "    The axis that is divided between them."]
        place = "it may be `x`" if role == "packed_backward" else "it may be a half of `x`"
        lines += ["out : ndarray, optional", f"    Where to store the result, of its shape; {place}."]
    elif role == "backward" and entry["gated"]:
        lines += ["out : tuple of two ndarrays, optional", "    Where to store the results."]
    elif role != "parameter_backward":
        lines += ["out, where, casting, order, dtype, subok", "    As for every `numpy.ufunc`."]
    return "\n".join(lines)


def _returns(entry: dict[str, Any], role: str, data: list[str], parameters: tuple[Any, ...]) -> str:
    lines = ["Returns", "-------"]
    dtype = f"the promotion of those of {' and '.join(data)}"
    if role == "parameter_backward":
        lines += ["tuple of ndarray", f"    One gradient per parameter, in its shape; dtype {dtype}."]
    elif role == "packed_backward":
        lines += ["ndarray", f"    In the shape of `x`; dtype {dtype}."]
    elif role == "packed":
        lines += ["ndarray or scalar", "    Half as long as `x` along `axis`; of its dtype."]
    elif role == "backward" and entry["gated"]:
        lines += ["dgate, dup : ndarray", f"    In the broadcast shape; dtype {dtype}."]
    else:
        lines += ["ndarray or scalar", f"    In the broadcast shape; dtype {dtype}."]
    return "\n".join(lines)


def _raises(entry: dict[str, Any], role: str) -> str:
    lines = ["Raises", "------"]
    condition = entry["from_output_domain"] if role == "backward_from_output" else entry["domain"]
    for error, text in _RAISES.items():
        lines += [error, f"    {text}"]
        if error == "ValueError" and condition:
            lines += [f"    Unless {condition}."]
        if role.startswith("packed"):
            lines += [f"    {_PACKED_RAISES[error]}"]
    return "\n".join(lines)


def _notes(entry: dict[str, Any], role: str) -> str:
    notes = []
    if entry["kink"]:
        notes.append(_KINK_OF_SECOND_DERIVATIVE if role == "second_derivative" else entry["kink"])
    notes.append("NaN in an operand gives NaN; no call raises a floating-point warning.")
    if role == "parameter_backward":
        notes.append(
            "The terms are summed in float64 by a fixed tree, so that the sum does not depend on memory layout or "
            "processor; the error is below 4 units in the last place of the sum of the terms' magnitudes."
        )
    else:
        bound = entry["bounds"][{"packed": "forward", "packed_backward": "backward"}.get(role, role)]
        at = " at g = 1" if "g" in _data_operands(entry, role) else ""
        notes.append(
            f"Error{at}: correctly rounded in float16 and bfloat16, at most {ulp(bound['float32'])} in float32 and "
            f"{ulp(bound['float64'])} in float64. The bits of a result depend on its own operands only."
        )
    if entry["note"]:
        notes.append(entry["note"])
    return "Notes\n-----\n" + "\n".join(notes)


def ulp(bound: float) -> str:
    """An error bound in words."""
    return "0 ULP (exact)" if bound == 0 else f"{bound:g} ULP"
