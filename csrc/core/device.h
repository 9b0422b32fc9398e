#pragma once
// Where memory lies and kernels run: the CPU, or a CUDA device served by a plug-in that is loaded when first asked for.
// Each thread has a current device: new memory comes from it, launches go to it, and only its memory can be pointed to.
// apply<Op>() makes the device of the arguments current, so operations need not know that there are several.

#include <cstdint>
#include <stdexcept>
#include <string>

namespace fastnn {

/// -1 the CPU, k >= 0 the CUDA device k.
using DeviceIndex = int32_t;
constexpr DeviceIndex kCpu = -1;

/// fastnn.DeviceError: no such device, tensors on different ones, or what the device's runtime reports.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "cpu" or "cuda:0".
inline std::string device_name(DeviceIndex device) { return device == kCpu ? "cpu" : "cuda:" + std::to_string(device); }
/// The inverse ("cuda" is "cuda:0"); false for other text.
bool device_from_name(const std::string& name, DeviceIndex& out);

/// The last is from memory of DeviceApi::host_allocate(), and not waited for.
enum class CopyKind : int32_t { host_to_device, device_to_host, device_to_device, pinned_to_device };

struct DeviceMemory {
  int64_t allocated, peak, reserved, calls, free, total;
};
struct DeviceProperties {
  char name[256];
  int64_t memory, major, minor, multiprocessors;
};

/// What the plug-in offers; all calls may throw DeviceError. Work is in the order of the calling thread's stream, and
/// only synchronize(), stream_synchronize() and copies to the host wait for it.
struct DeviceApi {
  static constexpr int32_t kVersion = 1;
  int32_t version;
  int32_t (*count)();         // of devices; 0 where there are none
  const char* (*why_none)();  // why count() is 0
  void (*enter)(DeviceIndex device);
  void* (*allocate)(DeviceIndex device, int64_t bytes);
  void (*deallocate)(DeviceIndex device, void* p, int64_t bytes) noexcept;
  void (*copy)(DeviceIndex device, void* to, const void* from, int64_t bytes, CopyKind kind);
  void (*synchronize)(DeviceIndex device);
  /// The launcher of a kernel, null where there is none.
  void* (*kernel)(const char* name);
  DeviceMemory (*memory)(DeviceIndex device);
  void (*reset_peak)(DeviceIndex device);
  void (*empty_cache)(DeviceIndex device);
  DeviceProperties (*properties)(DeviceIndex device);
  void* (*host_allocate)(int64_t bytes);  // pinned
  void (*host_deallocate)(void* p) noexcept;
  // Streams and events; null is the default stream.
  void* (*stream_create)(DeviceIndex device);
  void (*stream_destroy)(void* stream) noexcept;
  void* (*stream_use)(void* stream);  // returns the one before, for whose work it waits
  void* (*stream_current)();
  void (*stream_synchronize)(void* stream);
  bool (*stream_done)(void* stream);
  void* (*event_create)();
  void (*event_destroy)(void* event) noexcept;
  void (*event_record)(void* event, void* stream);
  void (*event_wait)(void* event, void* stream);
  void (*event_synchronize)(void* event);
  float (*event_ms)(void* from, void* to);
  // A list of launches as one: begin, launch, end; then run it as often as wanted. The states of draws are read anew at
  // every run.
  void (*graph_begin)();
  void* (*graph_end)();
  void (*graph_cancel)() noexcept;
  void (*graph_run)(void* graph);
  void (*graph_destroy)(void* graph) noexcept;
  /// Errors of kernels reported at the launch that made them (slow), or at the next call that waits.
  void (*set_blocking)(bool on);
  bool (*blocking)();
};

namespace detail {
#if defined(__GNUC__) && defined(__ELF__) && !defined(__CUDACC__)
extern thread_local DeviceIndex device __attribute__((tls_model("initial-exec")));
#else
extern thread_local DeviceIndex device;
#endif
/// The launcher of the kernel for the current device, kept in `slot`; DeviceError where it has none.
void* device_kernel(const char* name, void*& slot);
}  // namespace detail

inline DeviceIndex current_device() { return detail::device; }
/// For the calling thread, until it is set again; DeviceError where there is no such device.
void set_current_device(DeviceIndex device);

/// The plug-in; DeviceError where none is loaded.
const DeviceApi& device_api();
bool device_api_loaded();
/// Loads the plug-in from a shared library; DeviceError with the reason where that fails.
void load_device_api(const std::string& path);
/// Finds and loads the plug-in, or throws DeviceError with the reason; set by the Python module.
extern void (*find_device_api)();
/// DeviceError unless it is the CPU or there is such a device; loads the plug-in where it is not yet.
void check_device(DeviceIndex device);

/// Copies bytes from the memory of one device to that of another, or of the same. One from the CPU to a device goes on
/// behind the program where `wait` is false: `from` is then page-locked, and stays as it is until the device has come
/// so far.
void copy_bytes(DeviceIndex from_device, DeviceIndex to_device, void* to, const void* from, int64_t bytes,
                bool wait = true);

/// Makes a device current for a scope.
class DeviceGuard {
 public:
  explicit DeviceGuard(DeviceIndex device) : before_(detail::device) {
    if (__builtin_expect(device != before_, 0)) enter(device);
  }
  ~DeviceGuard() {
    if (__builtin_expect(detail::device != before_, 0)) leave();
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  static void enter(DeviceIndex device);
  void leave() noexcept;
  DeviceIndex before_;
};

}  // namespace fastnn
