#include "wire.h"

#include <string.h>

const struct protocol *protocol_named(const char *name) {
    const struct protocol *all[] = {&msgpack, &resp, &memcached};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}
