/* A small JSON reader: whole documents, with limits on size, depth and number of values. */
#ifndef STUB_JSON_H
#define STUB_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_MAX_BYTES = 4 * 1024 * 1024, JSON_MAX_DEPTH = 16, JSON_MAX_VALUES = 400000 };

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonType;

typedef struct Json {
    JsonType type;
    double number;      /* JSON_NUMBER, and 0 or 1 for JSON_BOOL */
    char *string;       /* JSON_STRING, NUL-terminated UTF-8 */
    size_t count;       /* members of an array or object */
    struct Json *items; /* values */
    char **keys;        /* JSON_OBJECT: one a value */
} Json;

/* Parses `text`, which has a NUL at [length]. On failure returns NULL and writes what is wrong, with line and column, into `error`. */
Json *json_parse(const char *text, size_t length, char *error, size_t error_size);

void json_free(Json *value);

/* The member called `key`, or NULL. */
const Json *json_get(const Json *object, const char *key);

#endif
