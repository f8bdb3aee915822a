// Latencies in nanoseconds, each kept to within 0.8 %.
#pragma once
#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_STEPS = 1 << HISTOGRAM_BITS, HISTOGRAM_DOUBLINGS = 40 };

struct histogram {
    uint64_t total, worst;
    uint64_t counts[HISTOGRAM_DOUBLINGS * HISTOGRAM_STEPS]; // up to 2^46 ns, which is 19 hours
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);

// The latency that the share `quantile` (0 to 1) of all does not exceed; 0 where there are none.
uint64_t histogram_at(const struct histogram *histogram, double quantile);
