// Streams and events.

#include <mutex>
#include <vector>

#include "cuda/state.h"

namespace fastnn {
namespace cuda {
namespace {

struct Event {
  cudaEvent_t e = nullptr;
  Event() { check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(e); }
};

// Streams are kept for the next who wants one, so a handle is good for as long as the process.
struct Streams {
  std::mutex mutex;
  std::vector<std::pair<cudaStream_t, DeviceIndex>> made;
  std::vector<cudaStream_t> idle[kMaxDevices];
};
Streams& streams() {
  static auto* all = new Streams;
  return *all;
}

cudaStream_t stream_or_default(void* s) {
  if (device_now < 0) enter(0);
  return s ? static_cast<cudaStream_t>(s) : devices[device_now].stream;
}

}  // namespace

void order(cudaStream_t earlier, cudaStream_t later) {
  Event e;
  check(cudaEventRecord(e.e, earlier), "cudaEventRecord");
  check(cudaStreamWaitEvent(later, e.e, 0), "cudaStreamWaitEvent");
}

void* stream_create(DeviceIndex device) {
  enter(device);
  Streams& all = streams();
  std::lock_guard<std::mutex> lock(all.mutex);
  if (!all.idle[device].empty()) {
    const cudaStream_t s = all.idle[device].back();
    all.idle[device].pop_back();
    return s;
  }
  cudaStream_t s = nullptr;
  check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  all.made.emplace_back(s, device);
  return s;
}
void stream_destroy(void* s) noexcept {
  Streams& all = streams();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (const auto& [stream, device] : all.made)
    if (stream == s) all.idle[device].push_back(stream);
}
void* stream_use(void* s) {
  if (device_now < 0) enter(0);
  const cudaStream_t before = stream_now, next = stream_or_default(s);
  if (before != next) order(before, next);
  stream_now = stream_of[device_now] = next;
  return before;
}
void* stream_current() {
  if (device_now < 0) enter(0);
  return stream_now;
}
void stream_synchronize(void* s) { check(cudaStreamSynchronize(stream_or_default(s)), "cudaStreamSynchronize"); }
bool stream_done(void* s) {
#ifdef FASTNN_CUDA_EMULATED
  (void)s;
  return true;
#else
  const cudaError_t code = cudaStreamQuery(stream_or_default(s));
  if (code == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(code, "cudaStreamQuery");
  return true;
#endif
}
void* event_create() {
  if (device_now < 0) enter(0);
  cudaEvent_t e = nullptr;
  check(cudaEventCreateWithFlags(&e, 0), "cudaEventCreate");
  return e;
}
void event_destroy(void* e) noexcept { cudaEventDestroy(static_cast<cudaEvent_t>(e)); }
void event_record(void* e, void* s) {
  check(cudaEventRecord(static_cast<cudaEvent_t>(e), stream_or_default(s)), "cudaEventRecord");
}
void event_wait(void* e, void* s) {
  check(cudaStreamWaitEvent(stream_or_default(s), static_cast<cudaEvent_t>(e), 0), "cudaStreamWaitEvent");
}
void event_synchronize(void* e) { check(cudaEventSynchronize(static_cast<cudaEvent_t>(e)), "cudaEventSynchronize"); }
float event_ms(void* from, void* to) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(from), static_cast<cudaEvent_t>(to)),
        "cudaEventElapsedTime");
  return ms;
}

}  // namespace cuda
}  // namespace fastnn
