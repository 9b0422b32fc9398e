#pragma once
// The loops of the device's matrix products over operands of any kind (gemm_operands_cuda.h). S says how the tile of a
// block is multiplied: gemm_tiles_cuda.h in registers, gemm_tensor_cuda.h on tensor cores. It has
//   BM, BN, BK           the tile of C, and the terms of a slice
//   TM, TN               elements of C of a thread: row(i), column(j) of the tile, kRun neighbouring columns in a run
//   kThreads, kBlocks    of a block, and how many of them are to fit a multiprocessor
//   kStages, kTables     slices in shared memory (all but one on their way), and lists of terms
//   kPad                 shared memory holds [k][row], rows + kPad apart
//   multiply(sum, a, b)  adds a slice
//
// Order of the sum: chunks of ProductArgs::chunk terms from zero, added from left to right, whatever the tile of C, the
// split or the device.

#include "cuda/async_copy.h"
#include "ops/matmul/gemm_operands_cuda.h"

namespace fastnn {
namespace cuda {

template <class T, int N>
struct __align__(sizeof(T) * N) RunOf {
  T at[N];
};

/// What a block keeps in shared memory, each part 16-byte aligned.
template <class T, class S, class A, class B>
struct Shared {
  static constexpr int kSlice = S::BK * ((S::BM + S::kPad) + (S::BN + S::kPad));
  T slices[S::kStages][kSlice];
  typename A::Row rows_a[S::BM];
  typename B::Row rows_b[S::BN];
  typename A::Term terms_a[S::kTables][S::BK];
  typename B::Term terms_b[S::kTables][S::BK];
  int64_t rows_c[S::BM];
  Job job;
  int64_t k0;          // the first term
  int left_a, left_b;  // rows that are there
};

/// Starts the copies of a slice: ROWS rows (of which `left` are there) of BK terms to [k][row].
template <int ROWS, class S, class T, class Operand>
__device__ inline void fetch(const Operand& x, T* to, const typename Operand::Row* rows,
                             const typename Operand::Term* terms, int left) {
  constexpr int kPitch = ROWS + S::kPad, kBytes = static_cast<int>(sizeof(T)), V = 16 / kBytes, BK = S::BK;
  const int thread = static_cast<int>(threadIdx.x);
  if (x.along_k) {
    constexpr int kStep = S::kThreads / BK;
    const int k = thread % BK, first = thread / BK;
    to += k * kPitch + first;
    rows += first;
    const typename Operand::Term term = terms[k];
#pragma unroll
    for (int r = 0; r < ROWS; r += kStep) {
      if (ROWS % kStep != 0 && r + first >= ROWS) break;
      const T* const from = x.at(rows[r], term);
      copy_async<kBytes>(to + r, from ? from : x.data, from ? kBytes : 0);
    }
    return;
  }
  const auto by_rows = [&](auto width) {
    constexpr int W = decltype(width)::value, kRuns = ROWS / W, kStep = S::kThreads / kRuns;
    const int r = thread % kRuns * W, first = thread / kRuns;
    to += first * kPitch + r;
    terms += first;
    const typename Operand::Row row = rows[r];
    const int bytes = W == 1 ? kBytes : min(max(left - r, 0), W) * kBytes;
#pragma unroll
    for (int k = 0; k < BK; k += kStep) {
      if (BK % kStep != 0 && k + first >= BK) break;
      const T* const from = bytes > 0 ? x.at(row, terms[k]) : nullptr;
      copy_async<W * kBytes>(to + k * kPitch, from ? from : x.data, from ? bytes : 0);
    }
  };
  if (x.wide)
    by_rows(std::integral_constant<int, V>());
  else
    by_rows(std::integral_constant<int, 1>());
}

/// One chunk's sums to C, or to the partial sums.
template <class T, class S, class Result>
__device__ inline void store_chunk(const T (&sum)[S::TM][S::TN], const ProductArgs<T>& p, const Result& result,
                                   const int64_t* rows_c, T* partial, const Job& job, int64_t chunk) {
  const int64_t n0 = job.n * S::BN;
  const int rows = static_cast<int>(min(p.M - job.m * S::BM, static_cast<int64_t>(S::BM)));
  const bool add = partial == nullptr && (chunk > 0 || p.accumulate);
  const bool finish = partial == nullptr && chunk + 1 == p.chunks();
  const T* const bias = p.bias ? p.bias + job.z * p.bias_step : nullptr;
  T* const base = partial ? partial + chunk * p.batch * p.M * p.N : result.data;
  const int64_t step = partial ? 1 : result.col_step;
  constexpr int V = S::kRun;
  using Run = RunOf<T, V>;
  const bool wide = partial ? p.N % V == 0 : result.wide != 0;
#pragma unroll
  for (int i = 0; i < S::TM; ++i) {
    const int r = S::row(i);
    if (r >= rows) continue;
    T* const row = base + rows_c[r];
#pragma unroll
    for (int j = 0; j < S::TN; j += V) {
      const int64_t n = n0 + S::column(j);
      if (V > 1 && wide && n + V <= p.N) {
        auto* const c = reinterpret_cast<Run*>(row + n);
        Run v, old{};
        if (add) old = *c;
#pragma unroll
        for (int l = 0; l < V; ++l) {
          v.at[l] = add ? old.at[l] + sum[i][j + l] : sum[i][j + l];
          if (finish) v.at[l] = finished(p, v.at[l], bias, n + l);
        }
        *c = v;
      } else {
#pragma unroll
        for (int l = 0; l < V; ++l) {
          if (n + l >= p.N) break;
          T* const c = row + (n + l) * step;
          const T v = add ? *c + sum[i][j + l] : sum[i][j + l];
          *c = finish ? finished(p, v, bias, n + l) : v;
        }
      }
    }
  }
}

template <class T, class S, class A, class B, class Result>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks)
    multiply_tiles(A a, B b, Result result, ProductArgs<T> p, Cut cut, T* partial) {
  using Memory = Shared<T, S, A, B>;
  FASTNN_SHARED(Memory, shared);
  constexpr int kSliceA = S::BK * (S::BM + S::kPad);
  const int thread = static_cast<int>(threadIdx.x);

  for (int64_t w = blockIdx.x; w < cut.blocks(); w += gridDim.x) {
    __syncthreads();
    int slices;
    {
      const Job job = job_of(cut, p.chunks(), w);
      const int64_t m0 = job.m * S::BM, n0 = job.n * S::BN;
      for (int i = thread; i < S::BM; i += S::kThreads) {
        const int64_t m = m0 + i < p.M ? m0 + i : p.M - 1;  // what rows past the end give is not stored
        shared->rows_a[i] = a.row(m, job.z);
        shared->rows_c[i] = partial ? (job.z * p.M + m) * p.N : result.row(m, job.z);
      }
      for (int i = thread; i < S::BN; i += S::kThreads)
        shared->rows_b[i] = b.row(n0 + i < p.N ? n0 + i : p.N - 1, job.z);
      const int64_t k0 = job.first * p.chunk;
      slices = static_cast<int>((min(job.last * p.chunk, p.K) - k0 + S::BK - 1) / S::BK);
      if (thread == 0) {  // seldom needed: registers are
        shared->job = job;
        shared->k0 = k0;
        shared->left_a = static_cast<int>(min(p.M - m0, static_cast<int64_t>(S::BM)));
        shared->left_b = static_cast<int>(min(p.N - n0, static_cast<int64_t>(S::BN)));
      }
    }
    __syncthreads();
    // The two kinds of terms by two warps.
    const auto list_terms = [&](int slice) {
      const int64_t k = shared->k0 + static_cast<int64_t>(slice) * S::BK;
      if (thread < S::BK) shared->terms_a[slice % S::kTables][thread] = a.term(k + thread, p.K);
      const int other = thread - kWarp;
      if (other >= 0 && other < S::BK) shared->terms_b[slice % S::kTables][other] = b.term(k + other, p.K);
    };
    const auto fetch_slice = [&](int slice, int stage) {
      if (slice < slices) {
        T* const to = shared->slices[stage];
        fetch<S::BM, S>(a, to, shared->rows_a, shared->terms_a[slice % S::kTables], shared->left_a);
        fetch<S::BN, S>(b, to + kSliceA, shared->rows_b, shared->terms_b[slice % S::kTables], shared->left_b);
      }
      copy_async_commit();
    };
    for (int s = 0; s < S::kStages; ++s) list_terms(s);
    __syncthreads();
    for (int s = 0; s + 1 < S::kStages; ++s) fetch_slice(s, s);

    T sum[S::TM][S::TN];
    const auto clear = [&] {
#pragma unroll
      for (int i = 0; i < S::TM; ++i)
#pragma unroll
        for (int j = 0; j < S::TN; ++j) sum[i][j] = T{0};
    };
    clear();
    const int per_chunk = static_cast<int>(p.chunk / S::BK);
    if (slices == 0) store_chunk<T, S>(sum, p, result, shared->rows_c, partial, shared->job, shared->job.first);
    int stage = 0, left_of_chunk = min(per_chunk, slices);
    for (int slice = 0; slice < slices; ++slice) {
      copy_async_wait<S::kStages - 2>();
      __syncthreads();
      fetch_slice(slice + S::kStages - 1, stage == 0 ? S::kStages - 1 : stage - 1);
      list_terms(slice + S::kStages);
      const T* const slice_a = shared->slices[stage];
      const T* const slice_b = slice_a + kSliceA;
      stage = stage + 1 == S::kStages ? 0 : stage + 1;
      S::multiply(sum, slice_a, slice_b);
      if (--left_of_chunk == 0) {
        const int64_t chunk = shared->job.first + slice / per_chunk;
        store_chunk<T, S>(sum, p, result, shared->rows_c, partial, shared->job, chunk);
        clear();
        left_of_chunk = min(per_chunk, slices - slice - 1);
      }
    }
    copy_async_wait<0>();
  }
}

template <class T, class S, class A, class B, class Result>
void run_tiles(const A& a, const B& b, const Result& result, const ProductArgs<T>& p) {
  run_cut(p, result, cut_product(p, S::BM, S::BN, 2), [&](const Cut& cut, T* partial) {
    run(&multiply_tiles<T, S, A, B, Result>, grid_of(cut), S::kThreads, sizeof(Shared<T, S, A, B>), a, b, result, p,
        cut, partial);
  });
}

}  // namespace cuda
}  // namespace fastnn
