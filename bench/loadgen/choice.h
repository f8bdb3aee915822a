// Which key comes next.
#pragma once
#include <stdint.h>

struct choice {
    uint64_t keys;   // numbers from 0 to keys - 1 are chosen
    double exponent; // of the Zipf distribution; 0 is uniform
    uint64_t state;  // of the random numbers
    uint64_t next;   // of the sequence
    // What the Zipf distribution needs; choice_init computes it.
    double at_first, at_last, shortcut;
};

// `exponent` 0 or more, `keys` from 1 to 2^31, any `seed`.
void choice_init(struct choice *choice, uint64_t keys, double exponent, uint64_t seed);

// 64 random bits.
uint64_t choice_bits(struct choice *choice);

// 0, 1, 2, ... and around again.
uint64_t choice_sequential(struct choice *choice);

// By the distribution. The most popular keys are spread over all numbers, so that they are neither those that were
// written first nor neighbours.
uint64_t choice_random(struct choice *choice);
