// A load generator for key-value servers: one thread, many connections, every value that is read is checked.
// It prints one JSON object on stdout. Exit codes: 0 all is well; 1 the command line; 3 the server broke off or fell
// silent; 4 an answer was wrong, refused, or missing where it should not be.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "drive.h"

enum { MAX_VALUE = 64 << 20, MAX_CONNECTIONS = 65535, MAX_DEPTH = 65536 };

static const char USAGE[] =
    "usage: loadgen [options] HOST PORT\n"
    "  --protocol=NAME     msgpack (default), resp or memcached\n"
    "  --op=OP             put, get or mixed (default get)\n"
    "  --get-percent=N     of mixed (default 90)\n"
    "  --connections=N     (default 50)\n"
    "  --depth=N           requests in flight on each (default 1)\n"
    "  --keys=N            numbers 0 to N - 1 (default 100000)\n"
    "  --first-key=N       is added to each number (default 0)\n"
    "  --value-bytes=N     (default 64)\n"
    "  --zipf=EXPONENT     popularity of the keys (default 0, uniform)\n"
    "  --sequential        0, 1, 2, ... instead\n"
    "  --seed=N            of the random numbers (default 1)\n"
    "  --calls=N           stop after so many\n"
    "  --seconds=S         stop after so long (default 1 when neither is given)\n"
    "  --rate=N            calls a second, latency from when a call was due; default: the next one after each answer\n"
    "  --prefill           first put every key once, unmeasured\n"
    "  --may-miss          a GET that finds nothing is no failure\n"
    "  --miss-percent=N    of the GETs, those of keys that nobody has put (default 0); such a one has to find nothing\n"
    "  --patience=S        give up after so long without an answer (default 30)\n"
    "  --print-choices     print the numbers of --calls keys, one a line, and connect to nothing\n";

static void usage(const char *problem) {
    fprintf(stderr, "loadgen: %s\n%s", problem, USAGE);
    exit(1);
}

static double number(const char *option, const char *text, double from, double to) {
    char *end, problem[200];
    double value = strtod(text, &end);
    if (*text && !*end && value >= from && value <= to) return value;
    snprintf(problem, sizeof problem, "--%s=%s: a number from %.0f to %.0f", option, text, from, to);
    usage(problem);
    return 0;
}

static void print_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        putchar(*text < ' ' || *text > '~' ? '?' : *text);
    }
    putchar('"');
}

static void report(const struct run *run, const struct choice *choice, const struct result *result) {
    const struct histogram *latency = &result->latency;
    printf("{\"protocol\": \"%s\", \"connections\": %u, \"depth\": %u, \"keys\": %lu, \"zipf\": %g, ", run->protocol->name,
           run->connections, run->depth, (unsigned long)choice->keys, choice->exponent);
    printf("\"value_bytes\": %u, \"get_percent\": %u, \"rate\": %.17g, ", run->value_bytes, run->get_percent, run->rate);
    printf("\"calls\": %lu, \"puts\": %lu, \"gets\": %lu, ", (unsigned long)result->calls, (unsigned long)result->puts,
           (unsigned long)result->gets);
    printf("\"absent\": %lu, ", (unsigned long)result->absent);
    printf("\"missing\": %lu, \"refused\": %lu, \"wrong\": %lu, \"refusal\": ", (unsigned long)result->missing,
           (unsigned long)result->refused, (unsigned long)result->wrong);
    print_text(result->refusal);
    printf(", \"seconds\": %.6f, \"calls_per_second\": %.1f, \"generator_cpu\": %.3f, ", result->seconds,
           (double)result->calls / result->seconds, result->cpu_seconds / result->seconds);
    printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"worst_us\": %.2f, \"worst_pause_us\": %.2f}\n",
           (double)histogram_at(latency, 0.5) / 1e3, (double)histogram_at(latency, 0.99) / 1e3,
           (double)histogram_at(latency, 0.999) / 1e3, (double)latency->worst / 1e3, (double)result->worst_pause / 1e3);
}

static bool all_is_well(const struct result *result, bool may_miss) {
    return result->wrong == 0 && result->refused == 0 && (may_miss || result->missing == 0);
}

static const struct option OPTIONS[] = {
    {"protocol", 1, NULL, 'p'},    {"op", 1, NULL, 'o'},         {"get-percent", 1, NULL, 'g'},
    {"connections", 1, NULL, 'c'}, {"depth", 1, NULL, 'd'},      {"keys", 1, NULL, 'k'},
    {"first-key", 1, NULL, 'f'},   {"value-bytes", 1, NULL, 'v'}, {"zipf", 1, NULL, 'z'},
    {"sequential", 0, NULL, 'q'},  {"seed", 1, NULL, 's'},       {"calls", 1, NULL, 'n'},
    {"seconds", 1, NULL, 't'},     {"rate", 1, NULL, 'r'},       {"prefill", 0, NULL, 'P'},
    {"may-miss", 0, NULL, 'm'},    {"patience", 1, NULL, 'w'},   {"print-choices", 0, NULL, 'C'},
    {"miss-percent", 1, NULL, 'M'}, {NULL, 0, NULL, 0},
};

static struct result result; // too large for the stack

int main(int argc, char **argv) {
    struct run run = {.protocol = &msgpack, .connections = 50, .depth = 1, .value_bytes = 64, .get_percent = 100};
    double zipf = 0, percent = 90, patience = 30;
    uint64_t keys = 100000, seed = 1;
    bool prefill = false, may_miss = false, print_choices = false, mixed = false;
    int option, at;
    while ((option = getopt_long(argc, argv, "", OPTIONS, &at)) != -1) {
        const char *name = option == '?' ? "" : OPTIONS[at].name;
        switch (option) {
        case 'p': if ((run.protocol = protocol_named(optarg)) == NULL) usage("no such protocol"); break;
        case 'o':
            mixed = strcmp(optarg, "mixed") == 0;
            if (!mixed && strcmp(optarg, "put") != 0 && strcmp(optarg, "get") != 0) usage("--op is put, get or mixed");
            run.get_percent = *optarg == 'p' ? 0 : 100;
            break;
        case 'g': percent = number(name, optarg, 0, 100); break;
        case 'c': run.connections = (uint32_t)number(name, optarg, 1, MAX_CONNECTIONS); break;
        case 'd': run.depth = (uint32_t)number(name, optarg, 1, MAX_DEPTH); break;
        case 'k': keys = (uint64_t)number(name, optarg, 1, 1u << 31); break;
        case 'f': run.first_key = (uint64_t)number(name, optarg, 0, 0x1p52); break;
        case 'v': run.value_bytes = (uint32_t)number(name, optarg, 0, MAX_VALUE); break;
        case 'z': zipf = number(name, optarg, 0, 10); break;
        case 'q': run.sequential = true; break;
        case 's': seed = (uint64_t)number(name, optarg, 0, 0x1p52); break;
        case 'n': run.calls = (uint64_t)number(name, optarg, 1, 0x1p52); break;
        case 't': run.seconds = number(name, optarg, 0, 86400); break;
        case 'r': run.rate = number(name, optarg, 0, 1e9); break;
        case 'P': prefill = true; break;
        case 'm': may_miss = true; break;
        case 'M': run.miss_percent = (uint32_t)number(name, optarg, 0, 100); break;
        case 'w': patience = number(name, optarg, 0, 86400); break;
        case 'C': print_choices = true; break;
        default: usage("no such option");
        }
    }
    if (mixed) run.get_percent = (uint32_t)percent;
    if (run.calls == 0 && run.seconds == 0) run.seconds = 1;
    struct choice choice;
    choice_init(&choice, keys, zipf, seed);
    if (print_choices) {
        for (uint64_t i = 0; i < run.calls; i++)
            printf("%lu\n", (unsigned long)(run.sequential ? choice_sequential(&choice) : choice_random(&choice)));
        return 0;
    }
    if (argc - optind != 2) usage("HOST and PORT are missing");
    struct driver *driver = driver_connect(argv[optind], (uint16_t)number("PORT", argv[optind + 1], 1, 65535),
                                           run.connections, run.depth);
    if (prefill) {
        struct run fill = run;
        fill.get_percent = 0;
        fill.sequential = true;
        fill.calls = keys;
        fill.seconds = fill.rate = 0;
        driver_run(driver, &fill, &choice, patience, &result);
        if (!all_is_well(&result, false)) {
            report(&fill, &choice, &result);
            return 4;
        }
    }
    driver_run(driver, &run, &choice, patience, &result);
    report(&run, &choice, &result);
    return all_is_well(&result, may_miss) ? 0 : 4;
}
