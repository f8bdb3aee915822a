// Keys and values. Everything follows from the number of a key, so every value that comes back can be checked.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES = 16 };

// The hash that stands for key `number`: different numbers have different hashes.
uint64_t key_hash(uint64_t number);

// The key: the letters A to P, one for every four bits of the hash.
void spell_key(char out[KEY_BYTES], uint64_t hash);

// The hash that a key spells; any 16 bytes give one.
uint64_t read_key(const char key[KEY_BYTES]);

// The value of a key: `size` letters that follow from the hash.
void make_value(char *out, size_t size, uint64_t hash);

// Whether `data` is the value of that key.
bool is_value(const char *data, size_t size, uint64_t hash);
