// fastnn._C.measure_peaks: the roofs of this machine for `fastnn info --peaks` and the benchmarks.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "runtime/peak.h"

namespace py = pybind11;

namespace fastnn {

void bind_peak(py::module_& m) {
  m.def(
      "measure_peaks",
      [](double seconds, const std::vector<int>& threads,
         const std::vector<std::pair<std::string, std::string>>& only) {
        std::vector<Peak> peaks;
        {
          py::gil_scoped_release release;
          peaks = measure_peaks({seconds, threads, only});
        }
        py::list rows;
        for (const Peak& p : peaks) {
          py::dict row;
          row["kind"] = p.kind;
          row["where"] = p.where;
          row["threads"] = p.threads;
          row["bytes"] = p.bytes;
          row["median"] = p.median;
          row["best"] = p.best;
          row["unit"] = p.unit;
          rows.append(row);
        }
        return rows;
      },
      py::arg("seconds") = 8.0, py::arg("threads") = std::vector<int>{},
      py::arg("only") = std::vector<std::pair<std::string, std::string>>{},
      R"doc(Measure the limits of this machine.

Parameters
----------
seconds : float
    About how long all measurements together may take.
threads : list of int
    Thread counts to measure; empty means 1 and every processor this process may use.
only : list of (str, str)
    ``kind`` and ``where`` of the roofs to measure, such as ``("fma f32", "avx512")``; empty means all.

Returns
-------
list of dict
    One row a roof: ``kind`` ("fma f32", "bf16 dot", "read", "copy", "copy streaming", "fill", "first touch"),
    ``where`` (instruction set, level of memory or page size), ``threads``, ``bytes`` (footprint of one thread),
    ``median`` and ``best`` over the repeats in ``unit`` ("GFLOP/s" or "GB/s").

Raises
------
ValueError
    If ``seconds`` is not positive, a thread count exceeds the processors this process may use, or ``only`` names a
    roof that the machine does not have.
)doc");
}

}  // namespace fastnn
