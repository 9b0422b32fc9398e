#include "ops/glove/glove.h"
#include "python/bind.h"

namespace fastnn {

// fastnn.text.GloVe and fastnn.text.cooccurrences are the public faces.
void bind_glove(Binder& b) {
  b.function("_cooccurrences", &cooccurrences, "ids"_a, "starts"_a, "v"_a, "window"_a, "symmetric"_a, "by_distance"_a,
             "How often words meet: starts, columns and values of the rows.");
  b.function(
      "_glove",
      [](const Tensor& theta, const Tensor& e, const Tensor& bias, const Tensor& theta_squares, const Tensor& e_squares,
         const Tensor& bias_squares, const Tensor& i, const Tensor& j, const Tensor& weight, const Tensor& target,
         double rate, int64_t batch) {
        return glove({theta, e, bias, theta_squares, e_squares, bias_squares, i, j, weight, target, rate, batch});
      },
      "theta"_a, "e"_a, "bias"_a, "theta_squares"_a, "e_squares"_a, "bias_squares"_a, "i"_a, "j"_a, "weight"_a,
      "target"_a, "rate"_a, "batch"_a, "One pass of GloVe over its entries; returns the sum of the losses.");
}

}  // namespace fastnn
