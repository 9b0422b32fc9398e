#include "core/device.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "core/errors.h"

namespace fastnn {

namespace detail {
thread_local DeviceIndex device = kCpu;
}

namespace {
std::atomic<const DeviceApi*> api{nullptr};
}

void (*find_device_api)() = nullptr;

bool device_from_name(const std::string& name, DeviceIndex& out) {
  if (name == "cpu" || name == "cuda") {
    out = name == "cpu" ? kCpu : 0;
    return true;
  }
  const bool numbered = name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 8 &&
                        name.find_first_not_of("0123456789", 5) == std::string::npos;
  if (numbered) out = std::stoi(name.substr(5));
  return numbered;
}

const DeviceApi& device_api() {
  const DeviceApi* p = api.load(std::memory_order_acquire);
  if (!p) throw DeviceError("cuda: the plug-in is not loaded (fastnn.cuda.is_available() says why)");
  return *p;
}

bool device_api_loaded() { return api.load(std::memory_order_acquire) != nullptr; }

void load_device_api(const std::string& path) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (device_api_loaded()) return;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw DeviceError(str("cuda: cannot load ", path, ": ", dlerror()));
  const auto entry = reinterpret_cast<const DeviceApi* (*)()>(dlsym(library, "fastnn_device_api"));
  const DeviceApi* found = entry ? entry() : nullptr;
  // Launchers may change with every release, so their plug-in is for one.
  const auto release = reinterpret_cast<const char* (*)()>(dlsym(library, "fastnn_device_release"));
  if (!found || !release || found->version != DeviceApi::kVersion || std::strcmp(release(), FASTNN_VERSION) != 0) {
    const std::string got = !found     ? std::string("is no plug-in of fastnn")
                            : !release ? str("has interface ", found->version)
                                       : str("has interface ", found->version, " of fastnn ", release());
    dlclose(library);
    throw DeviceError(str("cuda: ", path, " ", got, ", expected interface ", DeviceApi::kVersion, " of fastnn ",
                          FASTNN_VERSION, "; install the two together"));
  }
  api.store(found, std::memory_order_release);
}

void check_device(DeviceIndex device) {
  if (device == kCpu) return;
  if (!device_api_loaded() && find_device_api) find_device_api();
  const int32_t count = device_api().count();
  if (device < 0 || device >= count)
    throw DeviceError(count == 0 ? str("cuda: there is no device: ", device_api().why_none())
                                 : str("cuda: expected a device below ", count, ", got ", device_name(device)));
}

void set_current_device(DeviceIndex device) {
  if (device != kCpu) device_api().enter(device);
  detail::device = device;
}

void DeviceGuard::enter(DeviceIndex device) { set_current_device(device); }

void DeviceGuard::leave() noexcept {
  detail::device = before_;
  if (before_ == kCpu) return;
  try {
    device_api().enter(before_);
  } catch (...) {  // it was current before, so it exists; a broken device is reported at the next call
  }
}

void copy_bytes(DeviceIndex from_device, DeviceIndex to_device, void* to, const void* from, int64_t bytes, bool wait) {
  if (bytes == 0) return;
  const DeviceIndex device = to_device == kCpu ? from_device : to_device;
  if (device == kCpu)
    std::memcpy(to, from, static_cast<size_t>(bytes));
  else
    device_api().copy(device, to, from, bytes,
                      to_device == kCpu     ? CopyKind::device_to_host
                      : from_device != kCpu ? CopyKind::device_to_device
                      : wait                ? CopyKind::host_to_device
                                            : CopyKind::pinned_to_device);
}

void* detail::device_kernel(const char* name, void*& slot) {
  void* fn = __atomic_load_n(&slot, __ATOMIC_ACQUIRE);
  if (fn) return fn;
  fn = device_api().kernel(name);
  if (!fn)
    throw DeviceError(str("the kernel ", name, " has no CUDA version; move the tensors to the CPU with .cpu() first"));
  __atomic_store_n(&slot, fn, __ATOMIC_RELEASE);
  return fn;
}

}  // namespace fastnn
