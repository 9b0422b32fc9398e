// Forward and backward of sum(relu(x w)) without Python.

#include <cstdio>

#include "autograd/node.h"
#include "ops/elementwise/elementwise.h"
#include "ops/matmul/matmul.h"
#include "ops/reduce/reduce.h"

int main() {
  using namespace fastnn;
  Tensor x = empty({3, 2}), w = empty({2, 1});
  for (int i = 0; i < 6; ++i) x.data<float>()[i] = static_cast<float>(i + 1);
  for (int i = 0; i < 2; ++i) w.data<float>()[i] = 0.5f;
  set_requires_grad(w, true);
  const Tensor loss = sum(relu(matmul(x, w)), {}, false);
  backward({loss}, {Tensor()}, false);
  const Tensor dw = get_grad(w);
  std::printf("dw = %g %g\n", dw.data<float>()[0], dw.data<float>()[1]);
  return 0;
}
