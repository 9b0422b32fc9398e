#include <type_traits>

#include "ops/elementwise/elementwise.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <class F>
void each(const Strided& s, int axis, int64_t o0, int64_t o1, int64_t o2, const F& f) {
  if (axis == s.rank) return f(o0, o1, o2);
  for (int64_t i = 0; i < s.shape[axis]; ++i)
    each(s, axis + 1, o0 + i * s.strides[0][axis], o1 + i * s.strides[1][axis], o2 + i * s.strides[2][axis], f);
}

template <class F>
void with_type(int t, const F& f) {
  switch (t) {
    case 0:
      return f(static_cast<bool*>(nullptr));
    case 1:
      return f(static_cast<uint8_t*>(nullptr));
    case 2:
      return f(static_cast<int32_t*>(nullptr));
    case 3:
      return f(static_cast<int64_t*>(nullptr));
    case 4:
      return f(static_cast<float*>(nullptr));
    case 5:
      return f(static_cast<double*>(nullptr));
  }
}

}  // namespace

void copy_strided(void* y, int y_type, const void* x, int x_type, const Strided& loop) {
  with_type(y_type, [&](auto* ty) {
    with_type(x_type, [&](auto* tx) {
      auto* yp = static_cast<decltype(ty)>(y);
      const auto* xp = static_cast<const std::remove_pointer_t<decltype(tx)>*>(x);
      using Y = std::remove_pointer_t<decltype(ty)>;
      each(loop, 0, 0, 0, 0, [&](int64_t i, int64_t j, int64_t) { yp[i] = static_cast<Y>(xp[j]); });
    });
  });
}

void binary_strided(int op, int type, void* y, const void* a, const void* b, const Strided& loop) {
  with_type(type, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    auto* yp = static_cast<T*>(y);
    auto *ap = static_cast<const T*>(a), *bp = static_cast<const T*>(b);
    each(loop, 0, 0, 0, 0, [&](int64_t i, int64_t j, int64_t k) {
      const T u = ap[j], v = bp[k];
      switch (op) {
        case 0:
          yp[i] = static_cast<T>(u + v);
          break;
        case 1:
          yp[i] = static_cast<T>(u - v);
          break;
        case 2:
          yp[i] = static_cast<T>(u * v);
          break;
        case 3:
          yp[i] = static_cast<T>(u / v);
          break;
        case 4:
          yp[i] = u > T(0) ? u : T(0);
          break;
        case 5:
          yp[i] = v > T(0) ? u : T(0);
          break;  // relu gradient: dy where y > 0
      }
    });
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
