/* Coverage for libFuzzer from gcc, which calls a function in each block of code and knows nothing of libFuzzer's counters:
   each compiled module gets counters of its own, and a block the one that its address hashes to. For `gcc -include`, with
   -fsanitize-coverage=trace-pc,trace-cmp; see https://clang.llvm.org/docs/SanitizerCoverage.html for the functions. */

#include <stdint.h>

enum { CKV_COUNTERS = 1 << 14 };

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *stop);
void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop);

static uint8_t ckv_counters[CKV_COUNTERS];
static uintptr_t ckv_places[2 * CKV_COUNTERS]; /* of each counter an address, and whether a function begins there */

__attribute__((visibility("hidden"), no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void)
{
    uint32_t at = (uint32_t)((uintptr_t)__builtin_return_address(0) - (uintptr_t)ckv_counters);
    ckv_counters[at * 2654435761u >> 18]++;
}

__attribute__((constructor, no_sanitize_coverage)) static void ckv_count(void)
{
    for (int i = 0; i < CKV_COUNTERS; i++)
        ckv_places[2 * i] = (uintptr_t)&ckv_counters[i];
    __sanitizer_cov_8bit_counters_init(ckv_counters, ckv_counters + CKV_COUNTERS);
    __sanitizer_cov_pcs_init(ckv_places, ckv_places + 2 * CKV_COUNTERS);
}

/* Of comparisons libFuzzer has no use for these. */
__attribute__((visibility("hidden"), no_sanitize_coverage)) void __sanitizer_cov_trace_cmpf(float a, float b) {}
__attribute__((visibility("hidden"), no_sanitize_coverage)) void __sanitizer_cov_trace_cmpd(double a, double b) {}
