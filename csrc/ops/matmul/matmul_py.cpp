#include <optional>
#include <string>

#include "ops/elementwise/elementwise.h"
#include "ops/matmul/matmul.h"
#include "ops/matmul/product.h"
#include "ops/view/view.h"
#include "python/bind.h"

namespace fastnn {
namespace {

Activation activation_named(const std::optional<std::string>& name) {
  if (!name) return Activation::none;
  if (*name == "relu") return Activation::relu;
  throw ValueError(str("linear: expected activation None or 'relu', got '", *name, "'"));
}

// A product for operands of fixed rank, under its own name.
template <class F>
void ranked(Binder& b, const char* name, int64_t left, int64_t right, F product, const char* doc) {
  b.both(
      name,
      [name, left, right, product](const Tensor& x, const Tensor& other) {
        if (x.dim() != left || other.dim() != right)
          throw ValueError(str(name, ": expected ", left, "-d and ", right, "-d tensors, got shapes ", x.shape(),
                               " and ", other.shape()));
        return product(x, other);
      },
      "x"_a, "other"_a, doc);
}

Tensor bmm(const Tensor& x, const Tensor& other) {
  if (x.shape()[0] != other.shape()[0])
    throw ValueError(str("bmm: expected batches of one size, got shapes ", x.shape(), " and ", other.shape()));
  return matmul(x, other);
}

const char* precision_name(MatmulPrecision p) {
  return p == MatmulPrecision::bf16 ? "bf16" : p == MatmulPrecision::tf32 ? "tf32" : "float32";
}

Tensor outer(const Tensor& x, const Tensor& other) { return mul(unsqueeze(x, 1), unsqueeze(other, 0)); }

}  // namespace

void bind_matmul(Binder& b) {
  b.python_function(
      "set_matmul_precision",
      [](const std::string& precision) {
        for (const MatmulPrecision p : {MatmulPrecision::float32, MatmulPrecision::bf16, MatmulPrecision::tf32})
          if (precision == precision_name(p)) return set_matmul_precision(p);
        throw ValueError(str("set_matmul_precision: expected 'float32', 'bf16' or 'tf32', got '", precision, "'"));
      },
      "precision"_a, R"doc(
Chooses how products of float32 matrices are computed, in the whole process.

Parameters
----------
precision : {'float32', 'bf16', 'tf32'}
    'bf16' rounds the operands to bfloat16 (8 significant bits) and sums their products in float32, on processors that
    have an instruction for it (AVX512-BF16); tensors stay float32. An element of A B is then off by at most
    2**-7 times the sum of abs(a) abs(b), beside the rounding of the sum. Elsewhere, for float64 and for products of a
    vector, nothing changes. 'float32' is the default. Affected are matmul, linear and what is computed by them, 1x1
    convolutions too; other convolutions and recurrent layers stay in float32.
    On a CUDA device, 'bf16' and 'tf32' (11 significant bits: at most 2**-10 of that sum; on the CPU it is 'float32')
    use the tensor cores, for all convolutions but depthwise ones too.
)doc");
  b.python_function(
      "get_matmul_precision", [] { return precision_name(matmul_precision()); },
      "What set_matmul_precision() chose: 'float32', 'bf16' or 'tf32'.");
  ranked(b, "mm", 2, 2, matmul, "Product of two matrices, [M, K] and [K, N].");
  ranked(b, "bmm", 3, 3, bmm, "Products of two batches of matrices, [B, M, K] and [B, K, N].");
  ranked(b, "mv", 2, 1, matmul, "Matrix times vector, [M, K] and [K].");
  ranked(b, "dot", 1, 1, matmul, "Inner product of two vectors of one length.");
  ranked(b, "outer", 1, 1, outer, "x[i] * other[j] of two vectors.");
  b.both("matmul", &matmul, "x"_a, "other"_a, R"doc(
Matrix product over the last two axes.

Parameters
----------
x : Tensor [..., M, K] or [K]
other : Tensor [..., K, N] or [K]
    Leading axes broadcast; no operand is copied for it. A 1-d operand counts as one row (left) or one column (right),
    and that axis is missing in the result. Both float32 or both float64.

Returns
-------
Tensor [..., M, N]
    Each element is summed in an order that depends on K alone, so it has the same bits in any batch, for any strides
    and on any number of threads.

Raises
------
ValueError
    If the inner sizes differ, the leading axes do not broadcast, or an operand has no axis.
TypeError
    If the operands are not both float32 or both float64.
)doc");
  b.function(
      "linear",
      [](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
         const std::optional<std::string>& activation) {
        return linear(x, weight, bias ? *bias : Tensor(), activation_named(activation));
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "activation"_a = py::none(), R"doc(
Affine map ``activation(x @ weight + bias)`` in one pass.

Parameters
----------
x : Tensor [..., in]
weight : Tensor [in, out]
    The input dimension comes first; PyTorch keeps the transpose.
bias : Tensor [out], optional
activation : {None, 'relu'}, optional
    Applied while the result is still in registers.

Returns
-------
Tensor [..., out]

Raises
------
ValueError
    If the shapes do not fit or the activation is unknown.
TypeError
    If the tensors are not all float32 or all float64.
)doc");
}

}  // namespace fastnn
