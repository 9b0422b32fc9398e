#include <cmath>

#include "autograd/op.h"
#include "ops/elementwise/operands.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

enum Uses : uint8_t { None = 0, UseX = 1, UseY = 2, UseXY = 3 };
enum Kind : uint8_t { Float, Same };

struct Line {
  const char* name;
  const char* inplace_name;
  Kind kind;
  Uses uses;
  bool integer;  // has an integer version
};

#define FASTNN_X(name, kind, uses, ...) {#name, #name "_", kind, uses, false},
constexpr Line kTable[] = {FASTNN_UNARY(FASTNN_X){"bitwise_not", "bitwise_not_", Same, None, true}};
#undef FASTNN_X

const Line& line(UnaryOp op) { return kTable[static_cast<int>(op)]; }

bool has_integer_version(UnaryOp op) {
  switch (op) {
#define FASTNN_X(name, ...) case UnaryOp::name:
    FASTNN_UNARY_INT(FASTNN_X)
#undef FASTNN_X
    return true;
    default:
      return false;
  }
}
// floor, ceil, round, trunc leave integers as they are.
bool is_rounding(UnaryOp op) {
  return op == UnaryOp::floor || op == UnaryOp::ceil || op == UnaryOp::round || op == UnaryOp::trunc;
}

UnaryParams params_of(const UnaryArgs& a) { return {number_of(a.p), number_of(a.q), number_of(a.r)}; }

/// The dtype of f(x), in which it is also computed; TypeError where there is none.
DType unary_type(UnaryOp op, const Tensor& x, const UnaryArgs& a) {
  const Line& l = line(op);
  if (op == UnaryOp::bitwise_not && x.is_floating())
    throw TypeError(str("bitwise_not: expected an integer or bool tensor, got ", x.dtype()));
  if (l.kind == Float || x.is_floating()) return floating(x.dtype());
  if (op == UnaryOp::bitwise_not) return x.dtype();
  if (x.dtype() == DType::bool_) throw TypeError(str(l.name, ": not defined for bool"));
  const bool fraction = op == UnaryOp::clamp && ((a.p.kind == Scalar::floating && a.p.d > -HUGE_VAL) ||
                                                 (a.q.kind == Scalar::floating && a.q.d < HUGE_VAL));
  if (fraction) return DType::float32;
  if (!has_integer_version(op) && !is_rounding(op) && op != UnaryOp::nan_to_num)
    throw TypeError(str(l.name, ": expected a floating tensor, got ", x.dtype()));
  return x.dtype();
}

void unary_into(const Tensor& y, const Tensor& x, UnaryOp op, DType type, const UnaryArgs& a) {
  if (y.numel() == 0) return;
  if (!fastnn::is_floating(type) && !has_integer_version(op)) return copy_into(y, x);  // rounding an integer
  if (type == DType::bool_) {                                                          // bitwise_not
    launch(kernels::predicate, y.raw(), x.raw(), loop_over<2>(y.shape(), {&y, &x}), PredicateOp::logical_not,
           Elem::f32);
    return;
  }
  launch(kernels::unary_forward, y.raw(), x.raw(), loop_over<2>(y.shape(), {&y, &x}), op, elem_of(type), params_of(a));
}

struct Unary {
  const char* name = "";
  UnaryOp op;
  DType type, x_type;
  UnaryArgs args;

  void check(const Tensor& x, UnaryOp f, const UnaryArgs& a) {
    op = f;
    name = line(f).name;
    args = a;
    x_type = x.dtype();
    type = unary_type(f, x, a);
  }
  Tensor forward(Saved& saved, const Tensor& x, UnaryOp, const UnaryArgs&) {
    const Tensor y = empty(x.shape(), type);
    unary_into(y, x, op, type, args);
    if (saved.recording()) {
      saved.keep(line(op).uses & UseX ? x : Tensor());
      saved.keep(line(op).uses & UseY ? y : Tensor());
    }
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor d = empty(dy[0].shape(), type);
    const Tensor &x = saved[0], &y = saved[1];
    if (d.numel() != 0)
      launch(kernels::unary_backward, d.raw(), dy[0].raw(), raw_or_null(x), raw_or_null(y),
             loop_over<4>(d.shape(), {&d, &dy[0], &x, &y}), op, elem_of(type), params_of(args));
    dx[0] = to(d, x_type);
  }
};

struct Predicate {
  const char* name = "";
  void check(const Tensor&, PredicateOp op) {
#define FASTNN_X(f, ...) #f,
    constexpr const char* names[] = {FASTNN_PREDICATE(FASTNN_X)};
#undef FASTNN_X
    name = names[static_cast<int>(op)];
  }
  Tensor forward(Saved&, const Tensor& x, PredicateOp op) {
    const Tensor y = empty(x.shape(), DType::bool_);
    const Elem type = elem_of(x.dtype() == DType::float64 ? DType::float64 : DType::float32);
    if (y.numel() != 0) launch(kernels::predicate, y.raw(), x.raw(), loop_over<2>(y.shape(), {&y, &x}), op, type);
    return y;
  }
};

}  // namespace

Tensor unary(UnaryOp op, const Tensor& x, const UnaryArgs& args) { return apply<Unary>(x, op, args); }

Tensor unary_(UnaryOp op, const Tensor& x, const UnaryArgs& args) {
  const char* name = line(op).inplace_name;
  const DeviceGuard here(x.device());
  begin_inplace(name, x);
  const DType type = unary_type(op, x, args);
  check_inplace_type(name, x, type);
  if (grad_enabled() && x.requires_grad()) {
    const Tensor y = unary(op, clone(x), args);  // a copy, because the gradient may need x as it was
    copy_into(x, y);
    end_inplace(x, y);
  } else {
    unary_into(x, x, op, type, args);
    end_inplace(x, Tensor());
  }
  return x;
}

Tensor predicate(PredicateOp op, const Tensor& x) { return apply<Predicate>(x, op); }

Tensor clamp(const Tensor& x, Scalar low, Scalar high) { return unary(UnaryOp::clamp, x, {low, high, 0.0}); }

}  // namespace fastnn
