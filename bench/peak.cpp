// The roofs of this machine as a table, or as JSON:   peak [--json] [--seconds S] [--threads 1,2]

#include "runtime/peak.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace {

void print_table(const std::vector<fastnn::Peak>& peaks) {
  std::printf("%-15s %-11s %8s %13s %10s %10s\n", "limit", "where", "threads", "KB a thread", "median", "best");
  for (const auto& p : peaks)
    std::printf("%-15s %-11s %8d %13lld %10.1f %10.1f %s\n", p.kind.c_str(), p.where.c_str(), p.threads,
                static_cast<long long>(p.bytes >> 10), p.median, p.best, p.unit.c_str());
}

void print_json(const std::vector<fastnn::Peak>& peaks) {
  std::printf("[\n");
  for (size_t i = 0; i < peaks.size(); ++i) {
    const auto& p = peaks[i];
    std::printf(
        "  {\"kind\": \"%s\", \"where\": \"%s\", \"threads\": %d, \"bytes\": %lld, \"median\": %.2f, \"best\": %.2f, "
        "\"unit\": \"%s\"}%s\n",
        p.kind.c_str(), p.where.c_str(), p.threads, static_cast<long long>(p.bytes), p.median, p.best, p.unit.c_str(),
        i + 1 < peaks.size() ? "," : "");
  }
  std::printf("]\n");
}

int usage(const char* program) {
  std::fprintf(stderr, "usage: %s [--json] [--seconds S] [--threads N,N,...]\n", program);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  fastnn::PeakOptions options;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--json")) {
      json = true;
    } else if (!std::strcmp(argv[i], "--seconds") && i + 1 < argc) {
      options.seconds = std::atof(argv[++i]);
    } else if (!std::strcmp(argv[i], "--threads") && i + 1 < argc) {
      char* p = argv[++i];
      while (*p) {
        char* end;
        options.threads.push_back(static_cast<int>(std::strtol(p, &end, 10)));
        if (end == p) return usage(argv[0]);
        p = *end == ',' ? end + 1 : end;
      }
    } else {
      return usage(argv[0]);
    }
  }
  try {
    const auto peaks = fastnn::measure_peaks(options);
    json ? print_json(peaks) : print_table(peaks);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
