// From tensors to the loop descriptors of the elementwise kernels, and what all families share. Host side.
#pragma once

#include <initializer_list>

#include "ops/elementwise/elementwise.h"

namespace fastnn {

inline Elem elem_of(DType t) {
  constexpr Elem table[kDTypes] = {Elem::b8, Elem::u8, Elem::i32, Elem::i64, Elem::f32, Elem::f64};
  return table[static_cast<int>(t)];
}

inline Number number_of(const Scalar& s) {
  if (s.kind != Scalar::floating) return {s.d, s.i};
  const bool fits = s.d > -9.2e18 && s.d < 9.2e18;
  return {s.d, fits ? static_cast<int64_t>(s.d) : s.d > 0 ? INT64_MAX : s.d < 0 ? INT64_MIN : 0};
}

/// The loop over `shape`; tensors are read as if broadcast to it, undefined ones (numbers, operands not needed) get
/// stride 0.
template <int N>
inline Loop<N> loop_over(const Dims& shape, const Tensor* const (&x)[N]) {
  Elem type[N];
  bool flat = true;
  for (int k = 0; k < N; ++k) {
    type[k] = x[k]->defined() ? elem_of(x[k]->dtype()) : Elem::f32;
    flat = flat && (!x[k]->defined() || (x[k]->is_contiguous() && x[k]->shape() == shape));
  }
  if (flat) {
    Loop<N> l;
    l.n = numel_of(shape);
    l.rank = 1;
    for (int k = 0; k < N; ++k) l.type[k] = type[k];
    for (int d = 0; d < kLoopRank; ++d) {
      l.shape[d] = d == 0 ? l.n : 1;
      for (int k = 0; k < N; ++k) l.stride[k][d] = d == 0 && x[k]->defined() ? elem_size(type[k]) : 0;
    }
    return l;
  }
  int64_t strides[N][kMaxRank];
  const int64_t* at[N];
  const int rank = shape.size();
  for (int k = 0; k < N; ++k) {
    at[k] = strides[k];
    const int lead = x[k]->defined() ? rank - static_cast<int>(x[k]->dim()) : rank;
    for (int i = 0; i < rank; ++i)
      strides[k][i] = i < lead || x[k]->shape()[i - lead] == 1 ? 0 : x[k]->strides()[i - lead];
  }
  return make_loop<N>(rank, shape.data(), *reinterpret_cast<const int64_t* const(*)[N]>(&at), type);
}

inline void* raw_or_null(const Tensor& x) { return x.defined() ? x.raw() : nullptr; }

/// An integer or bool as float32, a float as it is.
inline DType floating(DType t) { return is_floating(t) ? t : DType::float32; }

/// `x`, or a copy where writing into `out` would change it under way: overlapping, but not the same window.
inline Tensor apart_from(const Tensor& out, const Tensor& x) {
  if (!x.defined() || x.impl() == out.impl() || !may_share_memory(out, x)) return x;
  const bool same = out.address() == x.address() && out.dtype() == x.dtype() && out.shape() == x.shape() &&
                    out.strides() == x.strides();
  return same ? x : clone(x.detach());
}

/// A 0-d tensor of the CPU moved to `device`, others as they are; DeviceError naming `op` for one that is elsewhere.
Tensor joined(const char* op, DeviceIndex device, const Tensor& x);
/// The operands of one function: 0-d tensors of the CPU go where the others are; DeviceError naming `op` where those
/// are on different devices.
void join_devices(const char* op, std::initializer_list<Tensor*> operands);
inline bool same_device(const Tensor& a, const Tensor& b) {
  return !a.defined() || !b.defined() || a.device() == b.device();
}

/// In place, x keeps its dtype: a higher kind (float into integer) is an error.
void check_inplace_type(const char* op, const Tensor& x, DType result);

/// dy summed to the shape of an operand and converted to its dtype.
Tensor reduce_gradient(const Tensor& d, const Dims& shape, DType dtype);

}  // namespace fastnn
