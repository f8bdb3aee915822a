#include "choice.h"

#include <math.h>

// xorshift64*: one multiplication a number, and good enough to pick keys with its upper bits.
uint64_t choice_bits(struct choice *choice) {
    uint64_t state = choice->state;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    choice->state = state;
    return state * 0x2545F4914F6CDD1D;
}

// From 0 to less than 1.
static double unit(struct choice *choice) { return (double)(choice_bits(choice) >> 11) * 0x1p-53; }

// Rejection-inversion (W. Hörmann and G. Derflinger, 1996): exact, without a table, a little more than one try each.
// H is the integral of h(x) = x^-exponent, from 1 to x.
static double H(double x, double exponent) {
    double left = 1.0 - exponent, log_x = log(x);
    return fabs(left) < 1e-9 ? log_x : expm1(left * log_x) / left;
}

static double H_inverse(double y, double exponent) {
    double left = 1.0 - exponent;
    return fabs(left) < 1e-9 ? exp(y) : exp(log1p(y * left) / left);
}

static double h(double x, double exponent) { return exp(-exponent * log(x)); }

void choice_init(struct choice *choice, uint64_t keys, double exponent, uint64_t seed) {
    *choice = (struct choice){.keys = keys, .exponent = exponent, .state = seed * 0x9E3779B97F4A7C15 | 1};
    for (int i = 0; i < 8; i++) choice_bits(choice); // a small seed has few bits
    if (exponent > 0) {
        choice->at_first = H(1.5, exponent) - 1.0;
        choice->at_last = H((double)keys + 0.5, exponent);
        choice->shortcut = 2.0 - H_inverse(H(2.5, exponent) - h(2.0, exponent), exponent);
    }
}

// 1 is the most popular.
static uint64_t rank(struct choice *choice) {
    for (;;) {
        double y = choice->at_last + unit(choice) * (choice->at_first - choice->at_last);
        double x = H_inverse(y, choice->exponent);
        double nearest = floor(x + 0.5);
        if (nearest < 1.0) nearest = 1.0;
        if (nearest > (double)choice->keys) nearest = (double)choice->keys;
        if (nearest - x <= choice->shortcut) return (uint64_t)nearest;
        if (y >= H(nearest + 0.5, choice->exponent) - h(nearest, choice->exponent)) return (uint64_t)nearest;
    }
}

uint64_t choice_sequential(struct choice *choice) {
    uint64_t number = choice->next++;
    if (choice->next == choice->keys) choice->next = 0;
    return number;
}

uint64_t choice_random(struct choice *choice) {
    if (choice->exponent <= 0) return (uint64_t)(((__uint128_t)choice_bits(choice) * choice->keys) >> 64);
    // A prime beyond the number of keys has no factor in common with it, so each rank gets a number of its own.
    return rank(choice) * 2654435761 % choice->keys;
}
