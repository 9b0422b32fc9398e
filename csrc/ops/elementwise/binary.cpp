#include "autograd/op.h"
#include "ops/elementwise/operands.h"
#include "ops/reduce/reduce.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

enum Uses : uint8_t { None, UseOther, UseB, UseAB, UseABY };

struct Line {
  const char* name;
  const char* inplace_name;
  Uses uses;
};

#define FASTNN_X(name, uses, ...) {#name, #name "_", uses},
#define FASTNN_INTEGER_LINE(name) {#name, #name "_", None},
constexpr Line kTable[] = {FASTNN_BINARY(FASTNN_X) FASTNN_INTEGER_LINE(bitwise_and) FASTNN_INTEGER_LINE(
    bitwise_or) FASTNN_INTEGER_LINE(bitwise_xor) FASTNN_INTEGER_LINE(left_shift) FASTNN_INTEGER_LINE(right_shift)};
#undef FASTNN_INTEGER_LINE
#undef FASTNN_X

const Line& line(BinaryOp op) { return kTable[static_cast<int>(op)]; }

bool has_integer_version(BinaryOp op) {
  switch (op) {
#define FASTNN_X(name, ...) case BinaryOp::name:
    FASTNN_BINARY_INT(FASTNN_X)
#undef FASTNN_X
    return true;
    default:
      return false;
  }
}
/// Whether the gradients of f(a, b) need the value of a.
bool needs_a(BinaryOp op, const Tensor& b) {
  const Uses uses = line(op).uses;
  return uses > UseB || (uses != None && b.requires_grad());
}
bool is_bitwise(BinaryOp op) { return op >= BinaryOp::bitwise_and; }

int kind_of(DType t) { return is_floating(t) ? 2 : t == DType::bool_ ? 0 : 1; }

/// The dtype of f(a, b), in which it is also computed. On bool, add is or, mul is and; `op` becomes that.
DType binary_type(BinaryOp& op, const Operand& a, const Operand& b) {
  const DType t = result_type(a, b);
  if (is_bitwise(op)) {
    const bool shift = op == BinaryOp::left_shift || op == BinaryOp::right_shift;
    if (is_floating(t) || (shift && t == DType::bool_))
      throw TypeError(str(line(op).name, ": expected integer", shift ? "" : " or bool", " tensors, got ", t));
    return t;
  }
  if (is_floating(t) || !has_integer_version(op)) return floating(t);
  if (t == DType::bool_) {
    switch (op) {
      case BinaryOp::add:
      case BinaryOp::maximum:
      case BinaryOp::fmax:
        op = BinaryOp::bitwise_or;
        break;
      case BinaryOp::mul:
      case BinaryOp::minimum:
      case BinaryOp::fmin:
        op = BinaryOp::bitwise_and;
        break;
      default:
        throw TypeError(str(line(op).name, ": not defined for bool; use the logical functions"));
    }
  } else if (op == BinaryOp::pow && !b.tensor.defined() && b.number.i < 0) {
    throw ValueError(str("pow: an integer tensor cannot be raised to the negative power ", b.number.i));
  }
  if (!a.tensor.defined() || !b.tensor.defined()) {
    const Scalar& s = a.tensor.defined() ? b.number : a.number;
    const int64_t low = t == DType::uint8 ? 0 : t == DType::int32 ? INT32_MIN : INT64_MIN;
    const int64_t high = t == DType::uint8 ? 255 : t == DType::int32 ? INT32_MAX : INT64_MAX;
    if (s.i < low || s.i > high) throw OverflowError(str(line(op).name, ": the number ", s.i, " does not fit ", t));
  }
  return t;
}

bool divides(BinaryOp op) {
  return op == BinaryOp::floor_divide || op == BinaryOp::trunc_divide || op == BinaryOp::remainder ||
         op == BinaryOp::fmod;
}
void refuse_zero(const bool* found, BinaryOp op) {
  if (*found) throw_integer_division_by_zero(op);
}
/// What the CPU's kernel does itself: before anything is written, no divisor of integers may be 0.
void check_divisors(const Operand& b, BinaryOp op, DType type) {
  if (current_device() == kCpu || is_floating(type) || !divides(op)) return;
  if (!b.tensor.defined()) {
    if (b.number.i == 0) throw_integer_division_by_zero(op);
    return;
  }
  const NoGrad guard;
  const Checking check;
  const Tensor zero = any(predicate(PredicateOp::logical_not, to(b.tensor, type)), {}, false);
  check_on_cpu(zero, [&](const Tensor& z) { launch_host(&refuse_zero, z.data<bool>(), op); });
}

void binary_into(const Tensor& y, const Operand& a, const Operand& b, BinaryOp op, DType type) {
  if (y.numel() == 0) return;
  check_divisors(b, op, type);
  launch(kernels::binary_forward, y.raw(), raw_or_null(a.tensor), raw_or_null(b.tensor),
         loop_over<3>(y.shape(), {&y, &a.tensor, &b.tensor}), op, elem_of(type),
         number_of(a.tensor.defined() ? b.number : a.number));
}

Dims result_shape(const char* name, const Tensor& a, const Tensor& b) {
  if (!a.defined()) return b.shape();
  if (!b.defined() || a.shape() == b.shape()) return a.shape();
  return broadcast_shapes(name, a.shape(), b.shape());
}

struct Binary {
  const char* name = "";
  BinaryOp op;
  DType type;
  Scalar number;
  struct {
    Dims shape;
    DType dtype = DType::float32;
  } in[2];

  void check(const Tensor& a, const Tensor& b, BinaryOp f, const Scalar& s) {
    op = f;
    number = s;
    name = line(f).name;
    type = binary_type(op, a.defined() ? Operand(a) : Operand(s), b.defined() ? Operand(b) : Operand(s));
  }
  Tensor forward(Saved& saved, const Tensor& a, const Tensor& b, BinaryOp, const Scalar&) {
    const Tensor y = empty(result_shape(name, a, b), type);
    binary_into(y, a.defined() ? Operand(a) : Operand(number), b.defined() ? Operand(b) : Operand(number), op, type);
    if (saved.recording()) {
      if (a.defined()) in[0] = {a.shape(), a.dtype()};
      if (b.defined()) in[1] = {b.shape(), b.dtype()};
      const Uses uses = line(op).uses;
      saved.keep(needs_a(op, b) ? a : Tensor());
      saved.keep(uses > UseOther || (uses == UseOther && a.requires_grad()) ? b : Tensor());
      saved.keep(uses == UseABY ? y : Tensor());
    }
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    for (int wrt = 0; wrt < 2; ++wrt)
      if (dx.needs(wrt)) dx[wrt] = reduce_gradient(gradient(saved, dy[0], wrt), in[wrt].shape, in[wrt].dtype);
  }
  Tensor gradient(const Saved& saved, const Tensor& dy, int wrt) {
    if (op == BinaryOp::add || (op == BinaryOp::sub && wrt == 0)) return dy;
    const Tensor d = empty(dy.shape(), type);
    const Tensor &a = saved[0], &b = saved[1], &y = saved[2];
    if (d.numel() != 0)
      launch(kernels::binary_backward, d.raw(), dy.raw(), raw_or_null(a), raw_or_null(b), raw_or_null(y),
             loop_over<5>(d.shape(), {&d, &dy, &a, &b, &y}), op, elem_of(type), wrt, number_of(number));
    return d;
  }
};

const char* compare_name(CompareOp op) {
#define FASTNN_X(f, ...) #f,
  constexpr const char* names[] = {FASTNN_COMPARE(FASTNN_X)};
#undef FASTNN_X
  return names[static_cast<int>(op)];
}

struct Compare {
  const char* name = "";
  DType type;
  void check(const Tensor& a, const Tensor& b, CompareOp op, const Scalar& s) {
    name = compare_name(op);
    const Operand number(s);
    type = result_type(a.defined() ? Operand(a) : number, b.defined() ? Operand(b) : number);
    // A number that the tensor's integers cannot hold still compares right.
    if ((!a.defined() || !b.defined()) && is_integral(type)) type = DType::int64;
  }
  Tensor forward(Saved&, const Tensor& a, const Tensor& b, CompareOp op, const Scalar& s) {
    const Tensor y = empty(result_shape(name, a, b), DType::bool_);
    if (y.numel() != 0)
      launch(kernels::compare, y.raw(), raw_or_null(a), raw_or_null(b), loop_over<3>(y.shape(), {&y, &a, &b}), op,
             elem_of(type), number_of(s));
    return y;
  }
};

}  // namespace

DType result_type(const Operand& a, const Operand& b) {
  // Rank of an operand among those of its kind: dimensions, then 0-d, then numbers.
  const auto rank = [](const Operand& o) {
    return !o.tensor.defined() || o.tensor.impl()->wrapped_number ? 0 : o.tensor.dim() == 0 ? 1 : 2;
  };
  const auto type = [](const Operand& o) { return o.tensor.defined() ? o.tensor.dtype() : o.number.default_dtype(); };
  const DType ta = type(a), tb = type(b);
  if (ta == tb) return ta;
  if (rank(a) == rank(b)) return promote(ta, tb);
  const bool a_first = rank(a) > rank(b);
  const DType high = a_first ? ta : tb, low = a_first ? tb : ta;
  if (kind_of(low) <= kind_of(high)) return high;
  return low;
}

Tensor binary(BinaryOp op, const Operand& a, const Operand& b) {
  if (!same_device(a.tensor, b.tensor)) {
    Tensor x = a.tensor, y = b.tensor;
    join_devices(line(op).name, {&x, &y});
    return apply<Binary>(x, y, op, a.number);
  }
  return apply<Binary>(a.tensor, b.tensor, op, a.tensor.defined() ? b.number : a.number);
}

Tensor binary_(BinaryOp op, const Tensor& a, const Operand& b) {
  const char* name = line(op).inplace_name;
  if (!same_device(a, b.tensor)) return binary_(op, a, joined(name, a.device(), b.tensor));
  const DeviceGuard here(a.device());
  begin_inplace(name, a);
  BinaryOp f = op;
  const DType type = binary_type(f, a, b);
  check_inplace_type(name, a, type);
  if (b.tensor.defined() && broadcast_shapes(name, a.shape(), b.tensor.shape()) != a.shape())
    throw ValueError(str(name, ": shape ", b.tensor.shape(), " does not broadcast to ", a.shape(), " in place"));
  if (grad_enabled() && (a.requires_grad() || b.tensor.requires_grad())) {
    // Where the gradient needs the old values of a, it gets them in a copy.
    const Tensor old = needs_a(f, b.tensor) ? clone(a) : a;
    const Tensor y = binary(op, old, b);
    copy_into(a, y);
    end_inplace(a, y);
  } else {
    binary_into(a, a, b.tensor.defined() ? Operand(apart_from(a, b.tensor)) : b, f, type);
    end_inplace(a, Tensor());
  }
  return a;
}

Tensor compare(CompareOp op, const Operand& a, const Operand& b) {
  if (!same_device(a.tensor, b.tensor)) {
    Tensor x = a.tensor, y = b.tensor;
    join_devices(compare_name(op), {&x, &y});
    return apply<Compare>(x, y, op, a.number);
  }
  return apply<Compare>(a.tensor, b.tensor, op, a.tensor.defined() ? b.number : a.number);
}

Tensor logical(LogicalOp op, const Tensor& a, const Tensor& b) {
  NoGrad guard;
  const Tensor x = to(a, DType::bool_), y = to(b, DType::bool_);
  return binary(op == LogicalOp::logical_and  ? BinaryOp::bitwise_and
                : op == LogicalOp::logical_or ? BinaryOp::bitwise_or
                                              : BinaryOp::bitwise_xor,
                x, y);
}

Tensor pow(const Tensor& x, Scalar e) {
  if (x.is_floating()) {
    if (e.d == 2) return unary(UnaryOp::square, x);
    if (e.d == 0.5) return unary(UnaryOp::sqrt, x);
    if (e.d == -0.5) return unary(UnaryOp::rsqrt, x);
    if (e.d == -1) return unary(UnaryOp::reciprocal, x);
  }
  return binary(BinaryOp::pow, x, e);
}

void throw_integer_division_by_zero(BinaryOp op) { throw ValueError(str(line(op).name, ": integer division by zero")); }

}  // namespace fastnn
