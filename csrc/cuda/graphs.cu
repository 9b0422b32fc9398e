// Launches recorded as a CUDA graph.

#include <vector>

#include "cuda/state.h"

namespace fastnn {
namespace cuda {

// A graph while it is recorded and afterwards: the states of its draws, in the order of its launches, read from the
// host's memory at every run.
struct Graph {
  cudaGraphExec_t exec = nullptr;
  DeviceIndex device = 0;
  cudaStream_t outside = nullptr;  // while it is recorded: the thread's stream before
  std::vector<const PhiloxState*> states;
  std::vector<PhiloxState> staged;
  PhiloxState* on_device = nullptr;
};

namespace {

constexpr int64_t kMaxDraws = 4096;

// Back to the stream before; the graph may be null.
Graph* end_recording(cudaGraph_t* graph, cudaError_t* code) {
  Graph* g = recording;
  recording = nullptr;
  const cudaStream_t own = stream_now;
  stream_now = g->outside;
  *code = cudaStreamEndCapture(own, graph);
  cudaStreamDestroy(own);
  return g;
}

}  // namespace

void graph_destroy(void* graph) noexcept {
  auto* g = static_cast<Graph*>(graph);
  if (!g || forked) return;
  if (g->exec) cudaGraphExecDestroy(g->exec);
  if (g->on_device) cudaFreeAsync(g->on_device, devices[g->device].stream);
  delete g;
}

void graph_begin() {
  if (device_now < 0) enter(0);
  if (recording) throw DeviceError("cuda: a graph is being recorded already");
  auto* g = new Graph;
  g->device = device_now;
  void* states = nullptr;
  const cudaError_t code = cudaMallocAsync(&states, kMaxDraws * sizeof(PhiloxState), stream_now);
  g->on_device = static_cast<PhiloxState*>(states);
  if (code != cudaSuccess) {
    delete g;
    check(code, "cudaMallocAsync");
  }
  // In a stream of its own: what other threads put into theirs meanwhile is none of the graph's.
  cudaStream_t own = nullptr;
  cudaError_t begun = cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking);
  if (begun == cudaSuccess) begun = cudaStreamBeginCapture(own, cudaStreamCaptureModeThreadLocal);
  if (begun != cudaSuccess) {
    if (own) cudaStreamDestroy(own);
    graph_destroy(g);
    check(begun, "cudaStreamBeginCapture");
  }
  g->outside = stream_now;
  stream_now = own;
  recording = g;
}

void graph_cancel() noexcept {
  if (!recording) return;
  cudaGraph_t graph = nullptr;
  cudaError_t code = cudaSuccess;
  Graph* g = end_recording(&graph, &code);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();
  graph_destroy(g);
}

void* graph_end() {
  cudaGraph_t graph = nullptr;
  cudaError_t code = cudaSuccess;
  Graph* g = end_recording(&graph, &code);
  if (code == cudaSuccess) {
    code = cudaGraphInstantiate(&g->exec, graph, 0);
    cudaGraphDestroy(graph);
  }
  if (code != cudaSuccess) {
    graph_destroy(g);
    check(code, "a graph");
  }
  g->staged.resize(g->states.size());
  return g;
}

void graph_run(void* graph) {
  auto* g = static_cast<Graph*>(graph);
  enter(g->device);
  if (!g->states.empty()) {
    for (size_t i = 0; i < g->states.size(); ++i) g->staged[i] = *g->states[i];
    // From pageable memory: the driver has its own copy when the call returns.
    check(cudaMemcpyAsync(g->on_device, g->staged.data(), g->staged.size() * sizeof(PhiloxState),
                          cudaMemcpyHostToDevice, stream_now),
          "cudaMemcpyAsync");
  }
  check(cudaGraphLaunch(g->exec, stream_now), "cudaGraphLaunch");
  if (blocking.load(std::memory_order_relaxed)) check(cudaStreamSynchronize(stream_now), "a graph");
}

DeviceRandom device_random(const PhiloxState* state) {
  if (!recording) return {*state, nullptr};
  if (recording->states.size() >= static_cast<size_t>(kMaxDraws))
    throw DeviceError(str("cuda: a graph holds at most ", kMaxDraws, " draws"));
  recording->states.push_back(state);
  return {*state, recording->on_device + (recording->states.size() - 1)};
}

}  // namespace cuda
}  // namespace fastnn
