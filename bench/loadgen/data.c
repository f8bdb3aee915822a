#include "data.h"

#include <string.h>

// Four bits in each byte, and the letter that stands for 0 in each byte.
static const uint64_t NIBBLES = 0x0F0F0F0F0F0F0F0F, LETTERS = 0x4141414141414141;

uint64_t key_hash(uint64_t number) {
    // The finalizer of MurmurHash3: each step can be undone, so no two numbers meet.
    uint64_t hash = number + 1; // 0 would stay 0
    hash ^= hash >> 33;
    hash *= 0xFF51AFD7ED558CCD;
    hash ^= hash >> 33;
    hash *= 0xC4CEB9FE1A85EC53;
    return hash ^ hash >> 33;
}

void spell_key(char out[KEY_BYTES], uint64_t hash) {
    uint64_t low = (hash & NIBBLES) + LETTERS, high = (hash >> 4 & NIBBLES) + LETTERS;
    memcpy(out, &low, sizeof low);
    memcpy(out + sizeof low, &high, sizeof high);
}

uint64_t read_key(const char key[KEY_BYTES]) {
    uint64_t low, high;
    memcpy(&low, key, sizeof low);
    memcpy(&high, key + sizeof low, sizeof high);
    return ((low - LETTERS) & NIBBLES) | ((high - LETTERS) & NIBBLES) << 4;
}

// Eight letters of a value; `at` counts words.
static inline uint64_t word(uint64_t hash, uint64_t at) {
    uint64_t mixed = (hash + at * 0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93;
    return ((mixed ^ mixed >> 32) & NIBBLES) + LETTERS;
}

void make_value(char *out, size_t size, uint64_t hash) {
    uint64_t at = 0, letters;
    for (; size >= sizeof letters; size -= sizeof letters, out += sizeof letters) {
        letters = word(hash, at++);
        memcpy(out, &letters, sizeof letters);
    }
    letters = word(hash, at);
    memcpy(out, &letters, size);
}

bool is_value(const char *data, size_t size, uint64_t hash) {
    uint64_t at = 0, found, different = 0;
    for (; size >= sizeof found; size -= sizeof found, data += sizeof found) {
        memcpy(&found, data, sizeof found);
        different |= found ^ word(hash, at++);
    }
    uint64_t letters = word(hash, at);
    return different == 0 && memcmp(data, &letters, size) == 0;
}
