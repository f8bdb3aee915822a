/* Linked into the program, where it takes the place of newlocale (the linker's --wrap).
 *
 * Nuitka's start-up aborts where neither the locale that LANG names nor C.UTF-8 exists. "C" always does, and is
 * enough for a program whose path is ASCII.
 */
#define _GNU_SOURCE
#include <locale.h>

locale_t __real_newlocale(int mask, const char *name, locale_t base);
locale_t __wrap_newlocale(int mask, const char *name, locale_t base);

locale_t __wrap_newlocale(int mask, const char *name, locale_t base) {
    locale_t made = __real_newlocale(mask, name, base);
    return made ? made : __real_newlocale(mask, "C", base);
}
