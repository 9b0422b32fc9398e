#pragma once
// What the core asks while a step is being captured (runtime/capture.h implements it). Per thread; null otherwise.

#include <cstddef>
#include <stdexcept>

#include "core/random.h"
#include "core/ref.h"

namespace fastnn {

struct Storage;
struct TensorImpl;
struct AccumulateGrad;

struct CaptureError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The operands of an elementwise launch, the output first. in_step[k]: operand k is read where the output is written,
/// element by element, so the output may take its place.
struct ElementwiseOperands {
  static constexpr int kMax = 6;
  const void* data[kMax];
  bool in_step[kMax];
  int count = 0;
  bool complete = false;
};

struct Recorder {
  virtual ~Recorder() = default;
  /// Memory for a new tensor.
  virtual Ref<Storage> make_storage(int64_t bytes) = 0;
  /// A storage of make_storage is about to go.
  virtual void released(const Storage& s) = 0;
  /// A pointer into s is being taken: replays need it to stay.
  virtual void hold(Storage& s) = 0;
  /// A leaf enters the graph: replays are valid while it keeps its memory.
  virtual void leaf(TensorImpl& t) = 0;
  /// The gradient of a leaf is about to be read, or (`overwrites`) replaced whatever it was.
  virtual void gradient(AccumulateGrad& box, bool overwrites) = 0;
  virtual RandomState next_random() = 0;
  /// One launch, with its arguments (plain data of so many bytes, 0: not to be searched); `operands` (may be null) of
  /// an elementwise one.
  virtual void launched(const char* name, void (*run)(void*), void (*destroy)(void*), void* arguments, size_t bytes,
                        const ElementwiseOperands* operands) = 0;
  /// Something that no replay can repeat was refused: the step is not recorded, whoever catches the error.
  virtual void refused(const char* message) = 0;
};

namespace detail {
#if defined(__GNUC__) && defined(__ELF__) && !defined(__CUDACC__)
// Read at every launch and allocation: the cheapest model of thread-local storage. Eight bytes of the static surplus.
extern thread_local Recorder* recorder __attribute__((tls_model("initial-exec")));
#else
extern thread_local Recorder* recorder;
#endif
}  // namespace detail

/// While one lives, launches check values on a device from the CPU: replays leave them out unless errors are asked for
/// at once (kernels do nothing harmful with what a check would have refused).
class Checking {
 public:
  Checking() : before_(active) { active = true; }
  ~Checking() { active = before_; }
  Checking(const Checking&) = delete;
  Checking& operator=(const Checking&) = delete;
  static bool now() { return active; }

 private:
  static thread_local bool active;
  bool before_;
};

inline bool capturing() { return __builtin_expect(detail::recorder != nullptr, 0); }
/// Throws CaptureError while a step is captured: `what` would give every replay the value of today.
void refuse_in_capture(const char* what);

}  // namespace fastnn
