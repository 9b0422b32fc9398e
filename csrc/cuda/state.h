#pragma once
// What the parts of the plug-in share: the calling thread's device and stream, and the calls behind DeviceApi that are
// not in runtime.cu.

#include <atomic>

#include "core/device.h"
#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

constexpr int kMaxDevices = 64;

struct DeviceState {
  cudaStream_t stream = nullptr;  // the default one
  int multiprocessors = 0, capability = 0;
  bool ready = false;
};
extern DeviceState devices[kMaxDevices];

struct Graph;
extern thread_local int device_now;
extern thread_local cudaStream_t stream_now;
extern thread_local cudaStream_t stream_of[kMaxDevices];  // chosen by this thread; null: the default one
extern thread_local Graph* recording;
extern std::atomic<bool> blocking;
// A child has the parent's memory but not its driver, which would fail with errors that name no reason.
extern std::atomic<bool> forked;

/// Makes a device this thread's; DeviceError where there is none.
void enter(DeviceIndex device);

// streams.cu
/// What comes on `later` waits for what is on `earlier`, a stream of the current device, now.
void order(cudaStream_t earlier, cudaStream_t later);
void* stream_create(DeviceIndex device);
void stream_destroy(void* s) noexcept;
void* stream_use(void* s);
void* stream_current();
void stream_synchronize(void* s);
bool stream_done(void* s);
void* event_create();
void event_destroy(void* e) noexcept;
void event_record(void* e, void* s);
void event_wait(void* e, void* s);
void event_synchronize(void* e);
float event_ms(void* from, void* to);

// graphs.cu
void graph_begin();
void* graph_end();
void graph_cancel() noexcept;
void graph_run(void* graph);
void graph_destroy(void* graph) noexcept;

}  // namespace cuda
}  // namespace fastnn
