#include <cmath>

#include "ops/elementwise/elementwise.h"
#include "python/bind.h"

namespace pybind11::detail {

template <>
struct type_caster<fastnn::Operand> {
  PYBIND11_TYPE_CASTER(fastnn::Operand, const_name("Tensor | bool | int | float"));
  bool load(handle src, bool) {
    if (fastnn::is_tensor(src.ptr())) {
      value.tensor = fastnn::unwrap(src.ptr());
      return true;
    }
    return fastnn::scalar_from_object(src.ptr(), value.number);
  }
};

}  // namespace pybind11::detail

namespace fastnn {

void bind_plain_unary(Binder& b);  // unary_py.cpp

namespace {

// --- functions with parameters ------------------------------------------------------------------------------------

UnaryOp gelu_of(const std::string& approximate) {
  if (approximate == "none") return UnaryOp::gelu;
  if (approximate == "tanh") return UnaryOp::gelu_tanh;
  throw ValueError("gelu: approximate must be 'none' or 'tanh', got '" + approximate + "'");
}

Operand bound(const std::optional<Operand>& o, double none) { return o ? *o : Operand(Scalar(none)); }

bool is_number(const std::optional<Operand>& o) { return !o || !o->tensor.defined(); }

Tensor clamp_any(const Tensor& x, const std::optional<Operand>& low, const std::optional<Operand>& high) {
  if (!low && !high) throw ValueError("clamp: at least one of min and max must be given");
  const Operand l = bound(low, -HUGE_VAL), h = bound(high, HUGE_VAL);
  if (is_number(low) && is_number(high)) return clamp(x, l.number, h.number);
  if (x.is_floating()) return ternary(TernaryOp::clamp, x, l, h);
  const Tensor y = low ? binary(BinaryOp::maximum, x, l) : x;
  return high ? binary(BinaryOp::minimum, y, h) : y;
}

double largest(DType t) {
  return t == DType::float64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
}

void bind_parametric(Binder& b) {
  const char* leaky = "x if x > 0 else negative_slope * x.";
  const char* elu = "x if x > 0 else alpha * (exp(x) - 1).";
  const char* celu = "x if x > 0 else alpha * (exp(x / alpha) - 1).";
  const char* softplus = "log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold.";
  const char* hardtanh = "min(max(x, min_val), max_val).";
  const char* hardshrink = "0 where |x| <= lambd, else x.";
  const char* softshrink = "x moved towards 0 by lambd, 0 where |x| <= lambd.";
  const char* threshold = "x where x > threshold, else value.";
  const char* gelu = "x * Phi(x), Phi the normal distribution function; approximate='tanh' for the tanh formula.";
  const char* logit = "log(x / (1 - x)); with eps, x is first clamped to [eps, 1 - eps].";
  const char* clamp = "min(max(x, min), max); each bound a number, a tensor or None.";
  const char* nan_to_num = "NaN, +inf and -inf replaced: by `nan` and, unless given, the largest finite numbers.";
#define FASTNN_BOTH(name, doc, lambda, lambda_, ...) \
  b.both(name, lambda, "x"_a, __VA_ARGS__, doc);     \
  b.method(name "_", lambda_, __VA_ARGS__, doc);
#define FASTNN_ONE(name, doc, op, arg, value) \
  FASTNN_BOTH(                                \
      name, doc,                              \
      [](const Tensor& x, double p) {         \
        return unary(op, x, {p, 0.0, 0.0});   \
      },                                      \
      [](const Tensor& x, double p) {         \
        return unary_(op, x, {p, 0.0, 0.0});  \
      },                                      \
      arg = value)
#define FASTNN_TWO(name, doc, op, ...)          \
  FASTNN_BOTH(                                  \
      name, doc,                                \
      [](const Tensor& x, Scalar p, Scalar q) { \
        return unary(op, x, {p, q, 0.0});       \
      },                                        \
      [](const Tensor& x, Scalar p, Scalar q) { \
        return unary_(op, x, {p, q, 0.0});      \
      },                                        \
      __VA_ARGS__)
  FASTNN_ONE("leaky_relu", leaky, UnaryOp::leaky_relu, "negative_slope"_a, 0.01)
  FASTNN_ONE("elu", elu, UnaryOp::elu, "alpha"_a, 1.0)
  FASTNN_ONE("celu", celu, UnaryOp::celu, "alpha"_a, 1.0)
  FASTNN_ONE("hardshrink", hardshrink, UnaryOp::hardshrink, "lambd"_a, 0.5)
  FASTNN_ONE("softshrink", softshrink, UnaryOp::softshrink, "lambd"_a, 0.5)
  FASTNN_TWO("softplus", softplus, UnaryOp::softplus, "beta"_a = Scalar(1.0), "threshold"_a = Scalar(20.0))
  FASTNN_TWO("hardtanh", hardtanh, UnaryOp::hardtanh, "min_val"_a = Scalar(-1.0), "max_val"_a = Scalar(1.0))
  FASTNN_TWO("threshold", threshold, UnaryOp::threshold, "threshold"_a, "value"_a)
#undef FASTNN_ONE
#undef FASTNN_TWO
  b.both(
      "gelu", [](const Tensor& x, const std::string& approximate) { return unary(gelu_of(approximate), x); }, "x"_a,
      "approximate"_a = "none", gelu);
  b.both(
      "logit",
      [](const Tensor& x, std::optional<double> eps) {
        return unary(UnaryOp::logit, x, {eps ? *eps : -1.0, 0.0, 0.0});
      },
      "x"_a, "eps"_a = py::none(), logit);
  for (const char* name : {"clamp", "clip"})
    b.both(name, &clamp_any, "x"_a, "min"_a = py::none(), "max"_a = py::none(), clamp);
  for (const char* name : {"clamp_", "clip_"})
    b.method(
        name,
        [](const Tensor& x, std::optional<Scalar> low, std::optional<Scalar> high) {
          if (!low && !high) throw ValueError("clamp_: at least one of min and max must be given");
          return unary_(UnaryOp::clamp, x, {low ? *low : Scalar(-HUGE_VAL), high ? *high : Scalar(HUGE_VAL), 0.0});
        },
        "min"_a = py::none(), "max"_a = py::none(), clamp);
  b.both(
      "clamp_min", [](const Tensor& x, const Operand& low) { return clamp_any(x, low, std::nullopt); }, "x"_a, "min"_a,
      "max(x, min).");
  b.both(
      "clamp_max", [](const Tensor& x, const Operand& high) { return clamp_any(x, std::nullopt, high); }, "x"_a,
      "max"_a, "min(x, max).");
  b.both(
      "nan_to_num",
      [](const Tensor& x, double nan, std::optional<double> posinf, std::optional<double> neginf) {
        return unary(UnaryOp::nan_to_num, x,
                     {nan, posinf ? *posinf : largest(x.dtype()), neginf ? *neginf : -largest(x.dtype())});
      },
      "x"_a, "nan"_a = 0.0, "posinf"_a = py::none(), "neginf"_a = py::none(), nan_to_num);
#undef FASTNN_BOTH
}

// --- two and three operands ---------------------------------------------------------------------------------------

template <BinaryOp op>
void bind_binary(Binder& b, const char* name, const char* inplace_name, const char* doc) {
  b.function(
      name,
      [](const Operand& x, const Operand& other) {
        if (!x.tensor.defined() && !other.tensor.defined()) throw TypeError("expected at least one Tensor");
        return binary(op, x, other);
      },
      "x"_a, "other"_a, doc);
  b.method(
      name, [](const Tensor& x, const Operand& other) { return binary(op, x, other); }, "other"_a, doc);
  if (inplace_name)
    b.method(
        inplace_name, [](const Tensor& x, const Operand& other) { return binary_(op, x, other); }, "other"_a, doc);
}

template <BinaryOp op>
Tensor scaled(const Tensor& x, const Operand& other, const Scalar& alpha, bool inplace) {
  Operand o = other;
  if (alpha.d != 1) {
    if (o.tensor.defined())
      o = binary(BinaryOp::mul, o, alpha);
    else
      o = o.number.kind == Scalar::floating || alpha.kind == Scalar::floating ? Scalar(o.number.d * alpha.d)
                                                                              : Scalar(o.number.i * alpha.i);
  }
  return inplace ? binary_(op, x, o) : binary(op, x, o);
}

#define FASTNN_TWO_TENSORS(name, doc) bind_binary<BinaryOp::name>(b, #name, #name "_", doc);
#define FASTNN_SCALED(name, doc)                                       \
  b.both(                                                              \
      #name,                                                           \
      [](const Tensor& x, const Operand& other, const Scalar& alpha) { \
        return scaled<BinaryOp::name>(x, other, alpha, false);         \
      },                                                               \
      "x"_a, "other"_a, py::kw_only(), "alpha"_a = Scalar(1), doc);    \
  b.method(                                                            \
      #name "_",                                                       \
      [](const Tensor& x, const Operand& other, const Scalar& alpha) { \
        return scaled<BinaryOp::name>(x, other, alpha, true);          \
      },                                                               \
      "other"_a, py::kw_only(), "alpha"_a = Scalar(1), doc);
#define FASTNN_COMPARISON(name, doc)                                                                          \
  b.both(                                                                                                     \
      #name, [](const Tensor& x, const Operand& other) { return compare(CompareOp::name, x, other); }, "x"_a, \
      "other"_a, doc);
#define FASTNN_LOGICAL(name, doc)                                                                            \
  b.both(                                                                                                    \
      #name, [](const Tensor& x, const Tensor& other) { return logical(LogicalOp::name, x, other); }, "x"_a, \
      "other"_a, doc);

void bind_binaries(Binder& b) {
  FASTNN_SCALED(add, "x + alpha * other, broadcast.")
  FASTNN_SCALED(sub, "x - alpha * other, broadcast.")
  FASTNN_TWO_TENSORS(mul, "x * other, broadcast.")
  FASTNN_TWO_TENSORS(floor_divide, "x / other rounded down.")
  FASTNN_TWO_TENSORS(remainder, "x - other * floor(x / other): the sign of `other`, as Python's %.")
  FASTNN_TWO_TENSORS(fmod, "Remainder with the sign of x, as C's fmod.")
  FASTNN_TWO_TENSORS(atan2, "Angle of the point (other, x).")
  FASTNN_TWO_TENSORS(hypot, "sqrt(x**2 + other**2), without overflow.")
  FASTNN_TWO_TENSORS(copysign, "|x| with the sign of `other`.")
  FASTNN_TWO_TENSORS(xlogy, "x * log(other), 0 where x is 0.")
  FASTNN_TWO_TENSORS(bitwise_and, "x & other.")
  FASTNN_TWO_TENSORS(bitwise_or, "x | other.")
  FASTNN_TWO_TENSORS(bitwise_xor, "x ^ other.")
  bind_binary<BinaryOp::left_shift>(b, "bitwise_left_shift", "bitwise_left_shift_", "x << other.");
  bind_binary<BinaryOp::right_shift>(b, "bitwise_right_shift", "bitwise_right_shift_", "x >> other.");
  bind_binary<BinaryOp::minimum>(b, "minimum", nullptr,
                                 "Smaller of the two; NaN if either is; a tie halves the gradient.");
  bind_binary<BinaryOp::maximum>(b, "maximum", nullptr,
                                 "Larger of the two; NaN if either is; a tie halves the gradient.");
  bind_binary<BinaryOp::fmin>(b, "fmin", nullptr, "Smaller of the two, ignoring NaN.");
  bind_binary<BinaryOp::fmax>(b, "fmax", nullptr, "Larger of the two, ignoring NaN.");
  bind_binary<BinaryOp::logaddexp>(b, "logaddexp", nullptr, "log(exp(x) + exp(other)), without overflow.");
  bind_binary<BinaryOp::heaviside>(b, "heaviside", nullptr, "0 where x < 0, 1 where x > 0, `other` where x is 0.");
  b.both(
      "prelu", [](const Tensor& x, const Tensor& weight) { return binary(BinaryOp::prelu, x, weight); }, "x"_a,
      "weight"_a, "x if x > 0 else weight * x; weight broadcasts (one slope, or one per channel, channels last).");
  const auto divide = [](const std::optional<std::string>& mode) {
    if (!mode) return BinaryOp::div;
    if (*mode == "floor") return BinaryOp::floor_divide;
    if (*mode == "trunc") return BinaryOp::trunc_divide;
    throw ValueError("div: rounding_mode must be None, 'floor' or 'trunc', got '" + *mode + "'");
  };
  const char* div = "x / other, broadcast; integers give float32. rounding_mode: None, 'floor' or 'trunc'.";
  b.both(
      "div",
      [divide](const Tensor& x, const Operand& other, const std::optional<std::string>& mode) {
        return binary(divide(mode), x, other);
      },
      "x"_a, "other"_a, py::kw_only(), "rounding_mode"_a = py::none(), div);
  b.method(
      "div_",
      [divide](const Tensor& x, const Operand& other, const std::optional<std::string>& mode) {
        return binary_(divide(mode), x, other);
      },
      "other"_a, py::kw_only(), "rounding_mode"_a = py::none(), div);
  const char* pow_doc = "x ** exponent, broadcast.";
  b.function(
      "pow",
      [](const Operand& x, const Operand& exponent) {
        if (!x.tensor.defined() && !exponent.tensor.defined()) throw TypeError("pow: expected at least one Tensor");
        return exponent.tensor.defined() ? binary(BinaryOp::pow, x, exponent) : pow(x.tensor, exponent.number);
      },
      "x"_a, "exponent"_a, pow_doc);
  b.method(
      "pow",
      [](const Tensor& x, const Operand& exponent) {
        return exponent.tensor.defined() ? binary(BinaryOp::pow, x, exponent) : pow(x, exponent.number);
      },
      "exponent"_a, pow_doc);
  b.method(
      "pow_", [](const Tensor& x, const Operand& exponent) { return binary_(BinaryOp::pow, x, exponent); },
      "exponent"_a, pow_doc);
  FASTNN_COMPARISON(eq, "x == other, elementwise.")
  FASTNN_COMPARISON(ne, "x != other, elementwise.")
  FASTNN_COMPARISON(lt, "x < other, elementwise.")
  FASTNN_COMPARISON(le, "x <= other, elementwise.")
  FASTNN_COMPARISON(gt, "x > other, elementwise.")
  FASTNN_COMPARISON(ge, "x >= other, elementwise.")
  FASTNN_LOGICAL(logical_and, "True where both are not 0.")
  FASTNN_LOGICAL(logical_or, "True where either is not 0.")
  FASTNN_LOGICAL(logical_xor, "True where exactly one is not 0.")
}

void bind_ternaries(Binder& b) {
  b.function("where", &where, "condition"_a, "x"_a, "other"_a,
             "x where the bool condition holds, else other; broadcast.");
  b.method(
      "where",
      [](const Tensor& x, const Tensor& condition, const Operand& other) { return where(condition, x, other); },
      "condition"_a, "other"_a, "x where the bool condition holds, else other; broadcast.");
  b.both(
      "lerp",
      [](const Tensor& x, const Tensor& end, const Operand& weight) {
        return ternary(TernaryOp::lerp, x, end, weight);
      },
      "x"_a, "end"_a, "weight"_a, "x + weight * (end - x).");
  b.both(
      "addcmul",
      [](const Tensor& x, const Tensor& tensor1, const Tensor& tensor2, double value) {
        return ternary(TernaryOp::addcmul, x, tensor1, tensor2, value);
      },
      "x"_a, "tensor1"_a, "tensor2"_a, py::kw_only(), "value"_a = 1.0, "x + value * tensor1 * tensor2.");
  b.both(
      "addcdiv",
      [](const Tensor& x, const Tensor& tensor1, const Tensor& tensor2, double value) {
        return ternary(TernaryOp::addcdiv, x, tensor1, tensor2, value);
      },
      "x"_a, "tensor1"_a, "tensor2"_a, py::kw_only(), "value"_a = 1.0, "x + value * tensor1 / tensor2.");
}

void bind_copies(Binder& b) {
  b.both("clone", &clone, "x"_a, "A row-major copy.");
  b.method("contiguous", &contiguous, "The tensor itself when row-major, else a row-major copy.");
  b.method("to", &to, "dtype"_a, "The tensor converted to `dtype`; itself when it has it already.");
}

}  // namespace

void bind_elementwise(Binder& b) {
  bind_plain_unary(b);
  bind_parametric(b);
  bind_binaries(b);
  bind_ternaries(b);
  bind_copies(b);
}

}  // namespace fastnn
