#include <cstring>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "ops/gather/gather.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

int64_t count(const GatherLoop& loop, int group) {
  int64_t n = 1;
  for (int i = 0; i < loop.rank[group]; ++i) n *= loop.shape[group][i];
  return n;
}

void locate(const GatherLoop& loop, int group, int64_t at, int64_t& a, int64_t& b) {
  for (int i = loop.rank[group] - 1; i >= 0; --i) {
    const int64_t k = at % loop.shape[group][i];
    at /= loop.shape[group][i];
    a += k * loop.a[group][i];
    b += k * loop.b[group][i];
  }
}

// f(flat position in the index, element of a, element of b). Positions along the axis go in order on one thread; what
// is before and after it is shared out, because different places there never meet in `a`.
template <class F>
void along(const int64_t* index, const GatherLoop& loop, const F& f) {
  const int64_t before = count(loop, 0), after = count(loop, 1);
  if (before * after * loop.n == 0) return;
  const bool even = loop.rank[1] <= 1;  // one stride leads through all axes after
  const int64_t a_step = loop.rank[1] ? loop.a[1][0] : 0, b_step = loop.rank[1] ? loop.b[1][0] : 0;
  const int64_t block = before < 16 && after > 64 && after * loop.n > 16384 ? 64 : after;
  const int64_t blocks = (after + block - 1) / block, per_task = loop.n * block;
  parallel_range(before * blocks, per_task >= 16384 ? 1 : 16384 / per_task + 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t p = t / blocks, first = t % blocks * block, last = first + block < after ? first + block : after;
      int64_t ap = 0, bp = 0;
      locate(loop, 0, p, ap, bp);
      for (int64_t j = 0; j < loop.n; ++j)
        for (int64_t q = first; q < last; ++q) {
          const int64_t flat = (p * loop.n + j) * after + q;
          int64_t i = index[flat], aq = ap, bq = bp + j * loop.b_axis;
          if (i < 0) i += loop.size;
          if (even)
            aq += q * a_step, bq += q * b_step;
          else
            locate(loop, 1, q, aq, bq);
          f(flat, aq + i * loop.a_axis, bq);
        }
    }
  });
}

}  // namespace

void gather_along(void* b, const void* a, const int64_t* index, int64_t itemsize, const GatherLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    T* to = static_cast<T*>(b);
    const T* from = static_cast<const T*>(a);
    along(index, loop, [=](int64_t, int64_t i, int64_t j) { to[j] = from[i]; });
  });
}

void scatter_along(void* a, const void* b, const int64_t* index, int64_t itemsize, const GatherLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    T* to = static_cast<T*>(a);
    const T* from = static_cast<const T*>(b);
    along(index, loop, [=](int64_t, int64_t i, int64_t j) { to[i] = from[j]; });
  });
}

void scatter_add_along(void* a, const void* b, const int64_t* index, int type, const GatherLoop& loop) {
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    T* to = static_cast<T*>(a);
    const T* from = static_cast<const T*>(b);
    along(index, loop, [=](int64_t, int64_t i, int64_t j) { to[i] = static_cast<T>(to[i] + from[j]); });
  });
}

void scatter_owner(int64_t* owner, const int64_t* index, const GatherLoop& loop) {
  along(index, loop, [=](int64_t flat, int64_t i, int64_t) { owner[i] = flat; });
}

void gather_owned(void* b, const void* a, const int64_t* owner, const int64_t* index, int64_t itemsize,
                  const GatherLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    T* to = static_cast<T*>(b);
    const T* from = static_cast<const T*>(a);
    along(index, loop, [=](int64_t flat, int64_t i, int64_t j) { to[j] = owner[i] == flat ? from[i] : T(0); });
  });
}

void fill_where(void* y, const uint8_t* mask, const void* value, int64_t itemsize, int64_t n, bool wanted) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    T* to = static_cast<T*>(y);
    const T v = *static_cast<const T*>(value);
    const uint8_t flag = wanted;
    parallel_range(n, 65536, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = mask[i] == flag ? v : to[i];
    });
  });
}

void one_hot_fill(void* y, int type, const int64_t* index, int64_t n, int64_t classes) {
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    T* to = static_cast<T*>(y);
    parallel_range(n, 65536 / classes + 1, [=](int64_t begin, int64_t end) {
      std::memset(to + begin * classes, 0, (end - begin) * classes * sizeof(T));
      for (int64_t r = begin; r < end; ++r) to[r * classes + index[r]] = static_cast<T>(1);
    });
  });
}

void triangle(void* y_raw, const void* x_raw, int64_t itemsize, int64_t batch, int64_t rows, int64_t cols,
              int64_t diagonal, bool upper) {
  char* y = static_cast<char*>(y_raw);
  const char* x = static_cast<const char*>(x_raw);
  parallel_range(batch * rows, 65536 / (cols * itemsize) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      // Columns [0, cut) and [cut, cols): one part is kept.
      int64_t cut = t % rows + diagonal + (upper ? 0 : 1);
      cut = cut < 0 ? 0 : cut > cols ? cols : cut;
      const int64_t at = t * cols * itemsize, middle = cut * itemsize, all = cols * itemsize;
      if (upper) {
        std::memset(y + at, 0, middle);
        std::memcpy(y + at + middle, x + at + middle, all - middle);
      } else {
        std::memcpy(y + at, x + at, middle);
        std::memset(y + at + middle, 0, all - middle);
      }
    }
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
