/* SipHash-1-3 (https://www.aumasson.jp/siphash/): a hash with a secret key, so that nobody who does not know it can choose
 * keys that fall into one bucket. One round for each word and three at the end, as in the dicts of Python and Rust. */
#ifndef CKV_SIPHASH_H
#define CKV_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t sip_rotated(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void sip_round(struct sip *state)
{
    state->a += state->b;
    state->b = sip_rotated(state->b, 13) ^ state->a;
    state->a = sip_rotated(state->a, 32);
    state->c += state->d;
    state->d = sip_rotated(state->d, 16) ^ state->c;
    state->a += state->d;
    state->d = sip_rotated(state->d, 21) ^ state->a;
    state->c += state->b;
    state->b = sip_rotated(state->b, 17) ^ state->c;
    state->c = sip_rotated(state->c, 32);
}

/* Words are read in the byte order of the machine; the reference is the same on one that is little-endian. */
static inline uint64_t siphash13(const void *data, size_t bytes, uint64_t key0, uint64_t key1)
{
    const unsigned char *at = data;
    struct sip state = {
        key0 ^ UINT64_C(0x736f6d6570736575),
        key1 ^ UINT64_C(0x646f72616e646f6d),
        key0 ^ UINT64_C(0x6c7967656e657261),
        key1 ^ UINT64_C(0x7465646279746573),
    };
    uint64_t word;
    for (size_t left = bytes / 8; left; left--, at += 8) {
        memcpy(&word, at, 8);
        state.d ^= word;
        sip_round(&state);
        state.a ^= word;
    }
    word = 0;
    memcpy(&word, at, bytes % 8);
    word |= (uint64_t)bytes << 56;
    state.d ^= word;
    sip_round(&state);
    state.a ^= word;
    state.c ^= 0xff;
    for (int rounds = 3; rounds; rounds--)
        sip_round(&state);
    return state.a ^ state.b ^ state.c ^ state.d;
}
#endif
