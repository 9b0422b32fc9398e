// The kernels of the elementwise families: one symbol a family, the function and the type are arguments. The tables
// (unary_table.h, binary_table.h) hold the formulas.
//
// Pointers are in the order of the loop's operands, outputs first. An input may be null: a binary or ternary kernel
// then takes the number `v` in its place, a gradient kernel does not need that operand. The output may be an input
// itself (same pointer, same strides); other overlap is the caller's to avoid.
#pragma once

#include "kernels/kernel.h"
#include "kernels/loop.h"
#include "ops/elementwise/binary_table.h"
#include "ops/elementwise/unary_table.h"

namespace fastnn {

#define FASTNN_X(name, ...) name,
enum class UnaryOp : int32_t { FASTNN_UNARY(FASTNN_X) bitwise_not, count };
enum class PredicateOp : int32_t { FASTNN_PREDICATE(FASTNN_X) count };
enum class BinaryOp : int32_t {
  FASTNN_BINARY(FASTNN_X) bitwise_and,
  bitwise_or,
  bitwise_xor,
  left_shift,
  right_shift,
  count
};
enum class CompareOp : int32_t { FASTNN_COMPARE(FASTNN_X) count };
enum class TernaryOp : int32_t { FASTNN_TERNARY(FASTNN_X) count };
#undef FASTNN_X

/// std::invalid_argument. Out of line: a kernel source that throws would emit a weak symbol.
[[noreturn]] void throw_integer_division_by_zero(BinaryOp op);

/// The parameters p, q, r of a unary function.
struct UnaryParams {
  Number p, q, r;
};

/// y = f(x), computed in `type` (f32, f64, or an integer type for the functions that have an integer version).
FASTNN_KERNEL(unary_forward, void* y, const void* x, Loop<2> loop, UnaryOp op, Elem type, UnaryParams params)
/// dx = dy f'(x), in f32 or f64. x or y may be null where the function does not use it.
FASTNN_KERNEL(unary_backward, void* dx, const void* dy, const void* x, const void* y, Loop<4> loop, UnaryOp op,
              Elem type, UnaryParams params)
/// y = predicate(x), y of bool; computed in f32 or f64.
FASTNN_KERNEL(predicate, void* y, const void* x, Loop<2> loop, PredicateOp op, Elem type)

/// y = f(a, b), computed in `type`. An integer division by 0 throws std::invalid_argument before anything is written.
FASTNN_KERNEL(binary_forward, void* y, const void* a, const void* b, Loop<3> loop, BinaryOp op, Elem type, Number v)
/// The gradient for a (wrt = 0) or b (wrt = 1), in f32 or f64; shape of y, summing over broadcast axes is the caller's.
FASTNN_KERNEL(binary_backward, void* d, const void* dy, const void* a, const void* b, const void* y, Loop<5> loop,
              BinaryOp op, Elem type, int wrt, Number v)
/// y = a < b and so on, y of bool, compared in `type`.
FASTNN_KERNEL(compare, void* y, const void* a, const void* b, Loop<3> loop, CompareOp op, Elem type, Number v)

/// y = f(a, b, c) with the number p, in f32 or f64. A null b or c is replaced by vb or vc.
FASTNN_KERNEL(ternary_forward, void* y, const void* a, const void* b, const void* c, Loop<4> loop, TernaryOp op,
              Elem type, double p, double vb, double vc)
/// The gradient for a, b or c (wrt = 0, 1, 2).
FASTNN_KERNEL(ternary_backward, void* d, const void* dy, const void* a, const void* b, const void* c, Loop<5> loop,
              TernaryOp op, Elem type, int wrt, double p, double vb, double vc)
/// y = condition ? a : b, computed in `type` (any); a null a or b is replaced by va or vb.
FASTNN_KERNEL(where, void* y, const void* condition, const void* a, const void* b, Loop<4> loop, Elem type, Number va,
              Number vb)

/// y = x, converted: float to integer truncates and saturates, NaN becomes 0; integers wrap; to bool is x != 0.
FASTNN_KERNEL(copy, void* y, const void* x, Loop<2> loop)
/// y = v in every element.
FASTNN_KERNEL(fill, void* y, Loop<1> loop, Number v)

}  // namespace fastnn
