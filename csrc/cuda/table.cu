// The launchers of the plug-in by name: every FASTNN_KERNEL of the library makes an entry here, so one that is missing
// is a link error.

#include <cstring>

#define FASTNN_CUDA_ENTRY(name)                                           \
  namespace cuda {                                                        \
  static const Entry entry_##name(#name, reinterpret_cast<void*>(&name)); \
  }

namespace fastnn {
namespace cuda {
namespace {

struct Entry {
  const char* name;
  void* launcher;
  const Entry* next;
  static const Entry*& first() {
    static const Entry* list = nullptr;
    return list;
  }
  Entry(const char* n, void* l) : name(n), launcher(l), next(first()) { first() = this; }
};

}  // namespace
}  // namespace cuda
}  // namespace fastnn

#include "ops/boxes/boxes.h"
#include "ops/conv/conv_kernels.h"
#include "ops/create/create.h"
#include "ops/elementwise/kernels.h"
#include "ops/embedding/embedding.h"
#include "ops/gather/gather.h"
#include "ops/glove/glove.h"
#include "ops/im2col/im2col.h"
#include "ops/index/index.h"
#include "ops/losses/cross_entropy.h"
#include "ops/losses/pointwise.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/matmul.h"
#include "ops/norm/channel_norm.h"
#include "ops/norm/response_norm.h"
#include "ops/norm/row_norm.h"
#include "ops/optim/optim_kernels.h"
#include "ops/pad/pad.h"
#include "ops/pool/pool.h"
#include "ops/random_fill/random_fill.h"
#include "ops/reduce/reduce_kernels.h"
#include "ops/resize/resize.h"
#include "ops/rnn/rnn.h"
#include "ops/scan/scan.h"
#include "ops/softmax/softmax.h"
#include "ops/sort/sort.h"
#include "ops/warp/warp.h"
#include "ops/word2vec/word2vec.h"

namespace fastnn {
namespace cuda {

void* find_launcher(const char* name) {
  for (const Entry* e = Entry::first(); e; e = e->next)
    if (std::strcmp(e->name, name) == 0) return e->launcher;
  return nullptr;
}

}  // namespace cuda
}  // namespace fastnn
