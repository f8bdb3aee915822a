/* hiredis, the client in C: ./hiredis HOST PORT PREFIX SCENARIO. Ends with 1 at the first answer that is not as it should be. */

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
    if (!(condition)) fail(__LINE__, #condition)

static redisContext *context;

static void fail(int line, const char *condition) {
    fprintf(stderr, "line %d: %s (%s)\n", line, condition, context ? context->errstr : "");
    exit(1);
}

static void is_number(redisReply *reply, long long number) {
    CHECK(reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == number);
    freeReplyObject(reply);
}

static void is_text(redisReply *reply, const char *text, size_t size) {
    CHECK(reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS));
    CHECK(reply->len == size && memcmp(reply->str, text, size) == 0);
    freeReplyObject(reply);
}

static void values(const char *prefix) {
    const char value[] = "\r\n\0\xff";
    is_text(redisCommand(context, "SET %s1 %b", prefix, value, sizeof value), "OK", 2);
    is_text(redisCommand(context, "GET %s1", prefix), value, sizeof value);
    is_number(redisCommand(context, "INCRBY %s2 5", prefix), 5);
    is_number(redisCommand(context, "EXPIRE %s2 100", prefix), 1);
    redisReply *both = redisCommand(context, "MGET %s2 %s3", prefix, prefix);
    CHECK(both != NULL && both->elements == 2 && both->element[1]->type == REDIS_REPLY_NIL);
    freeReplyObject(both);
    is_number(redisCommand(context, "DEL %s1 %s2 %s3", prefix, prefix, prefix), 2);
}

static void pipeline(const char *prefix) {
    redisReply *reply;
    for (int number = 0; number < 1000; number++)
        CHECK(redisAppendCommand(context, "INCR %s%d", prefix, number % 100) == REDIS_OK);
    for (int number = 0; number < 1000; number++) {
        CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK);
        is_number(reply, number / 100 + 1);
    }
}

int main(int count, char **arguments) {
    if (count != 5) return 2;
    context = redisConnect(arguments[1], atoi(arguments[2]));
    CHECK(context != NULL && !context->err);
    (strcmp(arguments[4], "values") == 0 ? values : pipeline)(arguments[3]);
    redisFree(context);
    return 0;
}
