"""ONNX Runtime: models of one operator where there is one, else of a few, bound to arrays that exist."""

from __future__ import annotations

import ast
import importlib
from typing import Any, ClassVar

import numpy as np

from .cells import Cell
from .data import Data
from .formulas import Unsupported, expressions, rewrite
from .peers import Call, Peer, forward_only

OPSET = 22
MICROSOFT = "com.microsoft"


class OnnxRuntime(Peer):
    """ONNX Runtime, forward passes."""

    name, module = "onnxruntime", "onnxruntime"
    fixed_isa = True
    # operator, attributes, further inputs, and the domain
    operators: ClassVar[dict[str, tuple[str, dict[str, Any], tuple[float, ...], str]]] = {
        "relu": ("Relu", {}, (), ""),
        "relu6": ("Clip", {}, (0, 6), ""),
        "clipped_relu": ("Clip", {}, (0, 1), ""),
        "hardtanh": ("Clip", {}, (-1, 1), ""),
        "thresholded_relu": ("ThresholdedRelu", {"alpha": 1.0}, (), ""),
        "leaky_relu": ("LeakyRelu", {"alpha": 0.01}, (), ""),
        "rrelu": ("LeakyRelu", {"alpha": 11 / 48}, (), ""),
        "prelu": ("PRelu", {}, (0.25,), ""),
        "elu": ("Elu", {}, (), ""),
        "selu": ("Selu", {}, (), ""),
        "celu": ("Celu", {}, (), ""),
        "gelu": ("Gelu", {}, (), ""),
        "gelu_tanh": ("Gelu", {"approximate": "tanh"}, (), ""),
        "quick_gelu": ("QuickGelu", {"alpha": 1.702}, (), MICROSOFT),
        "silu": ("QuickGelu", {"alpha": 1.0}, (), MICROSOFT),
        "swish": ("QuickGelu", {"alpha": 1.0}, (), MICROSOFT),
        "mish": ("Mish", {}, (), ""),
        "softplus": ("Softplus", {}, (), ""),
        "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, (), ""),
        "clipped_linear": ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}, (), ""),
        "hardswish": ("HardSwish", {}, (), ""),
        "softshrink": ("Shrink", {"lambd": 0.5, "bias": 0.5}, (), ""),
        "hardshrink": ("Shrink", {"lambd": 0.5, "bias": 0.0}, (), ""),
        "softsign": ("Softsign", {}, (), ""),
        "sigmoid": ("Sigmoid", {}, (), ""),
        "tanh": ("Tanh", {}, (), ""),
        "identity": ("Identity", {}, (), ""),
    }

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.onnx = importlib.import_module("onnx")
        options = self.library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.force_spinning_stop", "1")  # or it slows down whoever comes next
        self.options = options

    def call(self, cell: Cell, data: Data) -> Call:
        """Build the model and bind the arrays."""
        forward_only(cell)
        if cell.is_limit:
            raise Unsupported("no operator of its own")
        model = self._model(cell, data)
        try:
            session = self.library.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
            binding = session.io_binding()
            for name, array in (*data.operands.items(), ("out", data.outputs[0])):
                bind = binding.bind_output if name == "out" else binding.bind_input
                bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        except Exception as error:
            raise Unsupported(f"ONNX Runtime: {error}") from error
        return Call("run(binding)", {"run": session.run_with_iobinding, "binding": binding, **data.names})

    def _model(self, cell: Cell, data: Data) -> bytes:
        helper = self.onnx.helper
        try:
            dtype = helper.np_dtype_to_tensor_dtype(data.outputs[0].dtype)
        except KeyError as error:
            raise Unsupported(f"no dtype {error}") from error
        graph = _Graph(self.onnx, data)
        if cell.function in self.operators:
            operator, attributes, more, domain = self.operators[cell.function]
            inputs = [*data.operands, *(graph.constant(v) for v in more)]
            graph.node(operator, inputs, "out", domain=domain, **attributes)
        else:
            graph.expression(expressions(cell.function, cell.direction)[0])
        values = [helper.make_tensor_value_info(n, dtype, [cell.size]) for n in (*data.operands, "out")]
        made = helper.make_graph(graph.nodes, cell.function, values[:-1], values[-1:], graph.constants)
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model: bytes = helper.make_model(made, opset_imports=imports, ir_version=10).SerializeToString()
        return model


class _Graph:
    """A graph under construction; an expression becomes a node for each operation."""

    functions: ClassVar[dict[str, str]] = {
        **{"where": "Where", "exp": "Exp", "tanh": "Tanh", "sqrt": "Sqrt", "abs": "Abs", "erf": "Erf"},
        **{"maximum": "Max", "minimum": "Min"},
    }
    operators: ClassVar[dict[type[ast.AST], str]] = {
        **{ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow", ast.BitAnd: "And"},
        **{ast.Gt: "Greater", ast.Lt: "Less", ast.GtE: "GreaterOrEqual", ast.LtE: "LessOrEqual", ast.USub: "Neg"},
    }

    def __init__(self, onnx: Any, data: Data) -> None:
        self.onnx, self.dtype = onnx, data.outputs[0].dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: float) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, self.dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node and return its output's name."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def expression(self, text: str) -> None:
        """Add the nodes of an expression, the last of which writes `out`."""
        text = text.replace("expm1(x)", "(exp(x) - 1)")
        self._visit(ast.parse(rewrite(text), mode="eval").body)
        self.nodes[-1].output[0] = "out"

    def _visit(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Constant(value=value):
                return self.constant(float(value))  # type: ignore[arg-type]
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.node(self.operators[type(op)], [self._visit(left), self._visit(right)])
            case ast.UnaryOp(operand=operand, op=op):
                return self.node(self.operators[type(op)], [self._visit(operand)])
            case ast.Call(func=ast.Name(id="log1p"), args=[argument]):
                return self.node("Log", [self.node("Add", [self._visit(argument), self.constant(1)])])
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in self.functions:
                return self.node(self.functions[name], [self._visit(a) for a in arguments])
        raise Unsupported(f"no operator for {ast.unparse(node)}")
