#pragma once
// Elementwise functions with NumPy broadcasting and PyTorch's type promotion, copies and casts. The functions and their
// gradients are the lines of unary_table.h and binary_table.h.
//
// Types: bool < integers < floats. The higher kind wins; among operands of one kind, tensors with dimensions before 0-d
// tensors before numbers, so `float32 tensor * 2.5` and `int32 tensor + 1` keep their dtype. Functions of floats turn
// integers into float32.

#include <limits>

#include "core/tensor.h"
#include "ops/elementwise/binary_table.h"
#include "ops/elementwise/kernels.h"
#include "ops/elementwise/unary_table.h"

namespace fastnn {

// --- memory, no history ------------------------------------------------------------------------------------------
/// dst = src, broadcast to dst's shape and converted to its dtype. The two may not overlap unless equal.
void copy_into(const Tensor& dst, const Tensor& src);
void fill_into(const Tensor& dst, Scalar value);
/// dst += src (broadcast and converted).
void add_into(const Tensor& dst, const Tensor& src);
bool has_nan(const Tensor& x);

/// A 0-d tensor of the scalar.
Tensor scalar_tensor(Scalar value, DType dtype);
/// x in the CPU's memory: itself, or a copy that waits for the device.
Tensor on_cpu(const Tensor& x);
/// f(x in the CPU's memory), for checks of values: in a replay on a device only where errors are asked for at once.
template <class F>
void check_on_cpu(const Tensor& x, const F& f) {
  const Checking check;
  const Tensor here = on_cpu(x);
  const DeviceGuard host(kCpu);
  f(here);
}
/// A copy in page-locked memory, from which devices copy behind the program.
Tensor pin_memory(const Tensor& x);

// --- copies and casts --------------------------------------------------------------------------------------------
/// A row-major copy.
Tensor clone(const Tensor& x);
/// x as `dtype`; x itself when it has it already.
Tensor to(const Tensor& x, DType dtype);
/// x in the memory of `device`; x itself when it is there already. `wait`: as in copy_to_device().
Tensor to_device(const Tensor& x, DeviceIndex device, bool wait = true);
/// x itself when row-major, else a row-major copy.
Tensor contiguous(const Tensor& x);
/// x in row-major memory that nobody else has, without history: what is checked there stays as it was checked, whatever
/// another thread writes to x meanwhile.
Tensor private_copy(const Tensor& x);
/// x[...] = src, broadcast and converted, with history; returns x.
Tensor copy_(const Tensor& x, const Tensor& src);

// --- one tensor ---------------------------------------------------------------------------------------------------
/// Parameters p, q, r of a unary function, as its line in the table names them.
struct UnaryArgs {
  Scalar p = 0.0, q = 0.0, r = 0.0;
};
Tensor unary(UnaryOp op, const Tensor& x, const UnaryArgs& args = {});
/// The same in place; returns x.
Tensor unary_(UnaryOp op, const Tensor& x, const UnaryArgs& args = {});
Tensor predicate(PredicateOp op, const Tensor& x);

// --- two tensors, or a tensor and a number ------------------------------------------------------------------------
/// An operand of a binary function: a tensor or a number.
struct Operand {
  Tensor tensor;  // undefined: the number
  Scalar number;
  Operand(const Tensor& t) : tensor(t) {}
  Operand(Scalar s) : number(s) {}
  Operand() = default;
};
Tensor binary(BinaryOp op, const Operand& a, const Operand& b);
Tensor binary_(BinaryOp op, const Tensor& a, const Operand& b);
Tensor compare(CompareOp op, const Operand& a, const Operand& b);
/// and = mul, or = maximum, xor = ne of the operands seen as bool.
enum class LogicalOp { logical_and, logical_or, logical_xor };
Tensor logical(LogicalOp op, const Tensor& a, const Tensor& b);
/// The dtype of an arithmetic result.
DType result_type(const Operand& a, const Operand& b);

// --- three --------------------------------------------------------------------------------------------------------
Tensor where(const Tensor& condition, const Operand& a, const Operand& b);
/// a + c (b - a), a + p b c, a + p b / c, min(max(a, b), c); b and c may be numbers.
Tensor ternary(TernaryOp op, const Tensor& a, const Operand& b, const Operand& c, double p = 1);

// --- by name ------------------------------------------------------------------------------------------------------
#define FASTNN_X(name, ...) \
  inline Tensor name(const Tensor& x) { return unary(UnaryOp::name, x); }
FASTNN_X(neg)
FASTNN_X(abs)
FASTNN_X(sign)
FASTNN_X(square)
FASTNN_X(exp)
FASTNN_X(log)
FASTNN_X(log1p)
FASTNN_X(sqrt)
FASTNN_X(rsqrt)
FASTNN_X(reciprocal)
FASTNN_X(tanh)
FASTNN_X(sigmoid)
FASTNN_X(relu)
#undef FASTNN_X
inline Tensor add(const Tensor& a, const Tensor& b) { return binary(BinaryOp::add, a, b); }
inline Tensor sub(const Tensor& a, const Tensor& b) { return binary(BinaryOp::sub, a, b); }
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary(BinaryOp::mul, a, b); }
inline Tensor div(const Tensor& a, const Tensor& b) { return binary(BinaryOp::div, a, b); }
inline Tensor mul(const Tensor& a, double b) { return binary(BinaryOp::mul, a, Scalar(b)); }
inline Tensor add(const Tensor& a, double b) { return binary(BinaryOp::add, a, Scalar(b)); }
inline Tensor eq(const Tensor& a, const Operand& b) { return compare(CompareOp::eq, a, b); }
inline Tensor ne(const Tensor& a, const Operand& b) { return compare(CompareOp::ne, a, b); }
/// min(max(x, low), high); an infinite bound is none.
Tensor clamp(const Tensor& x, Scalar low, Scalar high);
/// x^exponent; whole and half exponents that have a function of their own use it.
Tensor pow(const Tensor& x, Scalar exponent);

}  // namespace fastnn
