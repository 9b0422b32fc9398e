#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "ops/pool/pool.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// f(element of the small plane, element of the large one): positions of one channel in order on one thread, so that the
// last of several values for one place stays.
template <class F>
void each_place(const int64_t* index, int64_t batch, int64_t large, int64_t small, int64_t channels, const F& f) {
  constexpr int64_t kWidth = 64;
  const int64_t blocks = (channels + kWidth - 1) / kWidth;
  parallel_tasks(batch * blocks, [&](int64_t task) {
    const int64_t n = task / blocks, c0 = task % blocks * kWidth, c1 = c0 + kWidth < channels ? c0 + kWidth : channels;
    for (int64_t o = 0; o < small; ++o)
      for (int64_t c = c0; c < c1; ++c) {
        const int64_t i = (n * small + o) * channels + c;
        f(i, (n * large + index[i]) * channels + c);
      }
  });
}

}  // namespace

void unpool_scatter(int64_t itemsize, void* y, const void* x, const int64_t* index, int64_t batch, int64_t y_plane,
                    int64_t x_plane, int64_t channels) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    each_place(index, batch, y_plane, x_plane, channels,
               [=](int64_t i, int64_t j) { static_cast<T*>(y)[j] = static_cast<const T*>(x)[i]; });
  });
}

void unpool_gather(int64_t itemsize, void* dx, const void* dy, const int64_t* index, int64_t batch, int64_t y_plane,
                   int64_t x_plane, int64_t channels) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    each_place(index, batch, y_plane, x_plane, channels,
               [=](int64_t i, int64_t j) { static_cast<T*>(dx)[i] = static_cast<const T*>(dy)[j]; });
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
