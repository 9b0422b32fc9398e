#include "kernels/parallel.h"
#include "ops/create/create.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kGrain = 65536;

// y[i] = f(i), converted to the dtype of y.
template <class F>
void fill_by(void* y, int type, int64_t n, const F& f) {
  auto run = [&](auto* p) {
    parallel_range(n, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(p[i], i);
    });
  };
  switch (type) {
    case 0:
      return run(static_cast<bool*>(y));
    case 1:
      return run(static_cast<uint8_t*>(y));
    case 2:
      return run(static_cast<int32_t*>(y));
    case 3:
      return run(static_cast<int64_t*>(y));
    case 4:
      return run(static_cast<float*>(y));
    case 5:
      return run(static_cast<double*>(y));
  }
}

template <class T>
void assign(T& to, int64_t v) {
  to = static_cast<T>(v);
}
template <class T>
void convert(T& to, double v) {
  to = static_cast<T>(v);
}
// Integers go through int64: a negative number as uint8 wraps instead of being undefined.
inline void convert(uint8_t& to, double v) { to = static_cast<uint8_t>(static_cast<int64_t>(v)); }
inline void convert(int32_t& to, double v) { to = static_cast<int32_t>(static_cast<int64_t>(v)); }

}  // namespace

void arange_integer(void* y, int type, int64_t n, int64_t start, int64_t step) {
  fill_by(y, type, n, [=](auto& to, int64_t i) { assign(to, start + i * step); });
}

void arange_floating(void* y, int type, int64_t n, double start, double step) {
  fill_by(y, type, n, [=](auto& to, int64_t i) { convert(to, start + static_cast<double>(i) * step); });
}

void linspace_fill(void* y, int type, int64_t n, double start, double end, double step) {
  fill_by(y, type, n, [=](auto& to, int64_t i) {
    convert(to, i < n / 2 ? start + static_cast<double>(i) * step : end - static_cast<double>(n - 1 - i) * step);
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
