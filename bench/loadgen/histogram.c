#include "histogram.h"

// Up to HISTOGRAM_STEPS each number has a step of its own; from there on every doubling has that many steps.
void histogram_add(struct histogram *histogram, uint64_t nanoseconds) {
    uint64_t step = nanoseconds;
    if (nanoseconds >= HISTOGRAM_STEPS) {
        unsigned doublings = 63 - (unsigned)__builtin_clzll(nanoseconds) - HISTOGRAM_BITS;
        step = ((uint64_t)doublings << HISTOGRAM_BITS) + (nanoseconds >> doublings);
    }
    uint64_t last = sizeof histogram->counts / sizeof *histogram->counts - 1;
    histogram->counts[step < last ? step : last]++;
    histogram->total++;
    if (nanoseconds > histogram->worst) histogram->worst = nanoseconds;
}

uint64_t histogram_at(const struct histogram *histogram, double quantile) {
    uint64_t wanted = (uint64_t)(quantile * (double)histogram->total + 0.5), seen = 0;
    if (wanted < 1) wanted = 1;
    for (uint64_t step = 0; step < sizeof histogram->counts / sizeof *histogram->counts; step++) {
        seen += histogram->counts[step];
        if (histogram->total && seen >= wanted) {
            if (step < 2 * HISTOGRAM_STEPS) return step;
            unsigned doublings = (unsigned)(step >> HISTOGRAM_BITS) - 1;
            uint64_t from = (HISTOGRAM_STEPS + (step & (HISTOGRAM_STEPS - 1))) << doublings;
            uint64_t middle = from + ((1ull << doublings) >> 1);
            return middle < histogram->worst ? middle : histogram->worst;
        }
    }
    return histogram->worst;
}
