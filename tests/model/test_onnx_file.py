"""Our reader of ONNX files beside the package `onnx`."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model.bundle import RELEASED
from model.onnx_file import read_graph


def test_nodes_and_constants_are_those_that_the_package_reads():
    found, expected = read_graph(RELEASED / "encoder.onnx"), onnx.load(str(RELEASED / "encoder.onnx")).graph
    assert [(n.kind, n.inputs, n.outputs) for n in found.nodes] == [
        (n.op_type, tuple(n.input), tuple(n.output)) for n in expected.node
    ]
    constants = {c.name: numpy_helper.to_array(c) for c in expected.initializer}
    assert found.constants.keys() == constants.keys()
    for name, value in constants.items():
        assert found.constants[name].dtype == value.dtype, name
        assert np.array_equal(found.constants[name], value), name
    branch = next(n for n in found.nodes if n.kind == "If").attributes["then_branch"]
    assert [(n.kind, n.attributes["num_heads"]) for n in branch.nodes] == [("MultiHeadAttention", 12)]
    norm = next(n for n in found.nodes if n.kind == "LayerNormalization")
    assert norm.attributes == {"axis": -1, "epsilon": pytest.approx(1e-12)}


@pytest.mark.parametrize("content", [b"\x00", b"x", b"\x3a\xff", b'{"a": 1}', bytes(range(256)) * 9])
def test_what_is_no_graph_is_an_error_and_no_crash(tmp_path, content):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no ONNX file"):
        read_graph(path)


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        read_graph(tmp_path / "encoder.onnx")
