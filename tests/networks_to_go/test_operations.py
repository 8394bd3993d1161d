"""Operations of JAX as ONNX nodes: ONNX Runtime computes what JAX computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cellflax.errors import UserError

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from cellflax.networks_to_go.to_onnx import Input, to_onnx  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 7, 6, 4)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 2, 4, 5)).astype(np.float32)
MATRIX = RNG.normal(size=(4, 3)).astype(np.float32)
PIXELS = lax.conv_dimension_numbers(X.shape, KERNEL.shape, ("NHWC", "HWIO", "NHWC"))
PLANES = lax.conv_dimension_numbers((2, 6, 7, 4), (5, 4, 3, 2), ("NCHW", "OIHW", "NHWC"))


def run(function, *inputs: np.ndarray, batch: int | None = None) -> np.ndarray:
    """The function in ONNX Runtime; the first dimension of every input is free unless `batch` fixes it."""
    (free,) = jax.export.symbolic_shape("batch")
    described = [Input(f"x{i}", (batch or free, *x.shape[1:])) for i, x in enumerate(inputs)]
    model = to_onnx(function, described, "y", {})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["y"], {f"x{i}": x for i, x in enumerate(inputs)})[0]


def large_kernel(x):
    from cellflax.models.large_kernel import fourier_convolution

    return fourier_convolution(x, KERNEL)


FUNCTIONS = {
    "sums and products": lambda x: (x + 1) * 2 - x / (x * x + 0.5),
    "functions of one value": lambda x: jnp.exp(-jnp.abs(x)) + jnp.log(x * x + 1) + jnp.tanh(x) + jnp.sqrt(jnp.abs(x)),
    "powers": lambda x: x**3 + jnp.square(x) + lax.rsqrt(x * x + 1) + lax.integer_pow(x * x + 1, -1),
    "softmax": jax.nn.softmax,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "choices": lambda x: jnp.where((x > 0) & (x <= 1) | ~(x >= -1), jnp.minimum(x, 0.2), jnp.where(x != x, 0.0, x)),
    "types": lambda x: (x > 0.3).astype(jnp.float32) - (x < -0.3).astype(jnp.float32) + (x == 0).astype(jnp.float32),
    "constants are computed before": lambda x: x * (jnp.arange(4.0) * 3 + lax.rsqrt(jnp.ones(4))).reshape(1, 1, 1, 4),
    "a constant is joined": lambda x: jnp.concatenate([x, x[..., :1] * 0 + 2], axis=-1),
    "sums, extremes": lambda x: x.sum((1, 2)) + x.max((1, 2)) * 2 + x.min((1, 2)),
    "sums over windows": lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 3, 2, 1), (1, 1, 1, 1), "VALID"),
    "sorting": lambda x: jnp.sort(x, axis=2),
    "matrix product": lambda x: x @ MATRIX,
    "convolution": lambda x: lax.conv_general_dilated(
        x, KERNEL, (2, 1), ((1, 0), (2, 1)), rhs_dilation=(1, 2), dimension_numbers=PIXELS
    ),
    "convolution of planes": lambda x: lax.conv_general_dilated(
        x.transpose(0, 3, 1, 2), KERNEL.transpose(3, 2, 0, 1), (1, 1), "VALID", dimension_numbers=PLANES
    ),
    "convolution by groups": lambda x: lax.conv_general_dilated(
        x, KERNEL[:, :, :2, :4], (1, 1), "SAME", feature_group_count=2, dimension_numbers=PIXELS
    ),
    "convolution with a large kernel": large_kernel,
    "slices": lambda x: lax.slice_in_dim(x[..., 1:3], 1, 6, 2, axis=1)[:, :, ::3],
    "windows": lambda x: x[:, 1:6, 2:5],
    "rows by number": lambda x: x[:, np.array([3, 0, 5])],
    "one plane": lambda x: x[..., 2],
    "turned": lambda x: jnp.rot90(x, axes=(1, 2)),
    "padded": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=4),
    "mirrored": lambda x: jnp.pad(x, ((0, 0), (3, 3), (4, 4), (0, 0)), mode="reflect"),
    "mirrored with the edge": lambda x: jnp.pad(x, ((0, 0), (9, 9), (0, 0), (0, 0)), mode="symmetric"),
    "new shapes": lambda x: x.reshape(-1, 7, 3, 2, 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(-1, 7, 3, 2),
    "new dimensions": lambda x: jnp.expand_dims(x.max(1), 1) + x - jnp.broadcast_to(MATRIX[:, 0], (1, 7, 6, 4)),
    "a function that is called": lambda x: jax.jit(lambda y: y + 1)(x) * 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnx_runtime_computes_what_jax_computes(name):
    function = FUNCTIONS[name]
    expected = np.asarray(function(jnp.asarray(X)))
    got = run(function, X)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


def test_the_batch_is_free():
    function = FUNCTIONS["new shapes"]
    many = np.concatenate([X, X + 1, X - 1])
    np.testing.assert_array_equal(run(function, many), np.asarray(function(jnp.asarray(many))))


def test_an_input_with_a_default_may_be_left_out():
    inputs = [Input("x", (2, 3)), Input("factor", (3,), np.full(3, 2.0))]
    session = onnxruntime.InferenceSession(to_onnx(lambda x, f: x * f[None], inputs, "y", {}).SerializeToString())
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], 2 * x)
    np.testing.assert_array_equal(
        session.run(None, {"x": x, "factor": np.arange(3, dtype=np.float32)})[0][1], [0, 1, 2]
    )


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (jnp.cumsum, "cumsum"),
        (lambda x: jnp.einsum("nhwc,nhwd->ncd", x, x), "dot_general (a product of other axes"),
        (lambda x: lax.sort((x, x), num_keys=1)[1], "sort (sorting several arrays"),
        (lambda x: lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0)]), "pad (padding between pixels"),
    ],
)
def test_an_operation_that_is_not_known_is_named(function, named):
    with pytest.raises(UserError) as error:
        run(function, X, batch=2)
    line = str(error.value)
    assert line.startswith(f"this network computes {named}")
    assert line.endswith("take format=stablehlo")
    assert "\n" not in line


def test_texts_go_into_the_file():
    model = to_onnx(lambda x: x + 1, [Input("x", (1, 2))], "y", {"cellflax": "{}"})
    assert {(p.key, p.value) for p in model.metadata_props} == {("cellflax", "{}")}
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
