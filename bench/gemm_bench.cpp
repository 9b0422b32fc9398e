// The GEMM kernels without anything around them, per instruction set and number of threads:
//   build/bench/gemm_bench --benchmark_filter='f32/avx512/1/.*256x256x256'
// Compare FLOP/s with the "fma f32" rows of bench/peak (half of it for f64), bytes/s of the vector cases with "read".

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ops/matmul/gemm.h"
#include "runtime/launch.h"
#include "runtime/thread_pool.h"

namespace {

using fastnn::GemmArgs;

struct Shape {
  int64_t M, N, K;
  bool a_transposed, b_transposed;  // that operand is stored [K, M] or [N, K]
  const char* what;
};

const Shape kShapes[] = {
    {16, 16, 16, false, false, "small"},
    {64, 64, 64, false, false, "square"},
    {128, 128, 128, false, false, "square"},
    {256, 256, 256, false, false, "square"},
    {512, 512, 512, false, false, "square"},
    {1024, 1024, 1024, false, false, "square"},
    {1024, 1024, 1024, true, false, "square"},
    {1024, 1024, 1024, false, true, "square"},
    {2048, 2048, 2048, false, false, "square"},
    {32, 1024, 1024, false, false, "skinny"},
    {64, 4096, 64, false, false, "skinny"},
    {4, 1024, 1024, false, false, "few rows"},
    {1, 4096, 4096, false, false, "vector"},
    {1, 4096, 4096, false, true, "vector"},
    {4096, 1, 4096, false, false, "vector"},
    {1, 512, 512, false, false, "vector"},
    {128, 10, 784, false, false, "linear forward"},
    {64, 256, 784, false, false, "linear forward"},
    {64, 256, 784, false, true, "linear forward"},
    {64, 784, 256, false, true, "linear dx"},
    {64, 784, 256, false, false, "linear dx"},
    {784, 256, 64, true, false, "linear dw"},
    {256, 784, 64, true, false, "linear dw"},
    {64, 128, 256, false, true, "linear forward"},
    {128, 256, 64, true, false, "linear dw"},
    {20, 800, 200, false, false, "lstm step"},
    {20, 800, 200, false, true, "lstm step"},
    {4096, 64, 576, false, false, "convolution"},
    {64, 50176, 147, false, false, "convolution"},
    {150, 16, 50000, true, false, "convolution dw"},
    {2048, 512, 128, false, true, "transformer"},
};

template <class T>
void run(benchmark::State& state, const fastnn::Kernel<void(const GemmArgs<T>&)>& kernel, fastnn::Isa isa, int threads,
         const Shape& s) {
  const int before = fastnn::num_threads();
  fastnn::set_num_threads(threads);
  std::vector<T> A(static_cast<size_t>(s.M * s.K)), B(static_cast<size_t>(s.K * s.N)),
      C(static_cast<size_t>(s.M * s.N));
  for (size_t i = 0; i < A.size(); ++i) A[i] = static_cast<T>(i % 17) / 8 - 1;
  for (size_t i = 0; i < B.size(); ++i) B[i] = static_cast<T>(i % 13) / 6 - 1;
  GemmArgs<T> g;
  g.M = s.M, g.N = s.N, g.K = s.K;
  g.A = A.data(), g.a_row = s.a_transposed ? 1 : s.K, g.a_col = s.a_transposed ? s.M : 1;
  g.B = B.data(), g.b_row = s.b_transposed ? 1 : s.N, g.b_col = s.b_transposed ? s.K : 1;
  g.C = C.data(), g.c_row = s.N;
  const auto gemm = kernel.by_isa[static_cast<int>(isa)];
  for (auto _ : state) {
    gemm(g);
    benchmark::ClobberMemory();
  }
  const double flops = 2.0 * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K);
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>((A.size() + B.size() + C.size()) * sizeof(T)));
  fastnn::set_num_threads(before);
}

template <class T>
void add(const char* type, const fastnn::Kernel<void(const GemmArgs<T>&)>& kernel) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  for (int isa = 0; isa <= static_cast<int>(fastnn::isa_found()); ++isa)
    for (int threads = 1; threads <= cores; threads *= 2)
      for (const Shape& s : kShapes) {
        const std::string name = std::string(type) + "/" + fastnn::isa_name(static_cast<fastnn::Isa>(isa)) + "/" +
                                 std::to_string(threads) + "/" + s.what + " " + std::to_string(s.M) + "x" +
                                 std::to_string(s.N) + "x" + std::to_string(s.K) + " " + (s.a_transposed ? "T" : "N") +
                                 (s.b_transposed ? "T" : "N");
        benchmark::RegisterBenchmark(name.c_str(), [&kernel, isa, threads, &s](benchmark::State& state) {
          run<T>(state, kernel, static_cast<fastnn::Isa>(isa), threads, s);
        })->UseRealTime();
      }
}

}  // namespace

int main(int argc, char** argv) {
  add<float>("f32", fastnn::kernels::gemm_f32);
  add<double>("f64", fastnn::kernels::gemm_f64);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
