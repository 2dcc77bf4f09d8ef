#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *start, *at, *end;
    size_t values;
    int depth;
    char *error;
    size_t error_size;
    jmp_buf escape;
} Parser;

static void fail(Parser *p, const char *what) __attribute__((noreturn));

static void fail(Parser *p, const char *what)
{
    int line = 1, column = 1;
    for (const char *c = p->start; c < p->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    snprintf(p->error, p->error_size, "line %d, column %d: %s", line, column, what);
    longjmp(p->escape, 1);
}

static void *grow(Parser *p, void *old, size_t size)
{
    void *grown = realloc(old, size);
    if (grown == NULL) {
        fail(p, "out of memory");
    }
    return grown;
}

static void skip_space(Parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at) != NULL && *p->at != '\0') {
        p->at++;
    }
}

static char peek(Parser *p)
{
    skip_space(p);
    return p->at < p->end ? *p->at : '\0';
}

static void expect(Parser *p, char wanted)
{
    if (peek(p) != wanted) {
        char what[32];
        snprintf(what, sizeof what, "expected '%c'", wanted);
        fail(p, what);
    }
    p->at++;
}

static unsigned hex4(Parser *p)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        if (p->at >= p->end || !isxdigit((unsigned char)*p->at)) {
            fail(p, "\\u needs four hex digits");
        }
        char c = *p->at;
        code = code * 16 + (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    return code;
}

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

static unsigned unicode_escape(Parser *p)
{
    unsigned code = hex4(p);
    if (code >= 0xD800 && code < 0xDC00) {
        if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u') {
            fail(p, "half of a surrogate pair");
        }
        p->at += 2;
        unsigned low = hex4(p);
        if (low < 0xDC00 || low > 0xDFFF) {
            fail(p, "half of a surrogate pair");
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code == 0 || (code >= 0xDC00 && code < 0xE000)) {
        fail(p, "this \\u escape has no place in a C string");
    }
    return code;
}

static size_t put_escape(Parser *p, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->end ? *p->at++ : '\0';
    if (c == 'u') {
        return put_utf8(out, unicode_escape(p));
    }
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found == NULL) {
        fail(p, "unknown escape");
    }
    out[0] = to[found - from];
    return 1;
}

static char *parse_string(Parser *p)
{
    expect(p, '"');
    size_t used = 0, room = 32;
    char *text = grow(p, NULL, room);
    for (;;) {
        if (p->at >= p->end || (unsigned char)*p->at < 0x20) {
            fail(p, "string without its closing quote");
        }
        if (used + 8 > room) {
            text = grow(p, text, room *= 2);
        }
        char c = *p->at++;
        if (c == '"') {
            text[used] = '\0';
            return text;
        }
        if (c == '\\') {
            used += put_escape(p, text + used);
        } else {
            text[used++] = c;
        }
    }
}

static void parse_value(Parser *p, Json *value);

static void check_key(Parser *p, const Json *object, const char *key)
{
    if (json_get(object, key) != NULL) {
        char what[120];
        snprintf(what, sizeof what, "key \"%.60s\" twice", key);
        fail(p, what);
    }
}

static void parse_members(Parser *p, Json *into, char close)
{
    size_t room = 0;
    p->at++;
    if (peek(p) == close) {
        p->at++;
        return;
    }
    for (;;) {
        if (into->count == room) {
            room = room == 0 ? 4 : room * 2;
            into->items = grow(p, into->items, room * sizeof *into->items);
            into->keys = grow(p, into->keys, room * sizeof *into->keys);
        }
        char *key = NULL;
        if (close == '}') {
            key = parse_string(p);
            check_key(p, into, key);
            expect(p, ':');
        }
        Json item;
        parse_value(p, &item);
        into->keys[into->count] = key;
        into->items[into->count++] = item;
        if (peek(p) != ',') {
            expect(p, close);
            return;
        }
        p->at++;
    }
}

static void parse_number(Parser *p, Json *value)
{
    char digits[64];
    size_t length = strspn(p->at, "+-.0123456789eE");
    if (length == 0 || length >= sizeof digits || !(isdigit((unsigned char)*p->at) || *p->at == '-')) {
        fail(p, "expected a value");
    }
    memcpy(digits, p->at, length);
    digits[length] = '\0';
    char *stop;
    value->type = JSON_NUMBER;
    value->number = strtod(digits, &stop);
    if (*stop != '\0' || !isfinite(value->number)) {
        fail(p, "not a finite number");
    }
    p->at += length;
}

static void parse_word(Parser *p, Json *value)
{
    static const struct {
        const char *word;
        JsonType type;
        double number;
    } words[] = {{"null", JSON_NULL, 0}, {"true", JSON_BOOL, 1}, {"false", JSON_BOOL, 0}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if ((size_t)(p->end - p->at) >= length && strncmp(p->at, words[i].word, length) == 0) {
            value->type = words[i].type;
            value->number = words[i].number;
            p->at += length;
            return;
        }
    }
    parse_number(p, value);
}

static void parse_value(Parser *p, Json *value)
{
    memset(value, 0, sizeof *value);
    if (++p->values > JSON_MAX_VALUES) {
        fail(p, "too many values");
    }
    if (++p->depth > JSON_MAX_DEPTH) {
        fail(p, "nested too deep");
    }
    switch (peek(p)) {
    case '{':
        value->type = JSON_OBJECT;
        parse_members(p, value, '}');
        break;
    case '[':
        value->type = JSON_ARRAY;
        parse_members(p, value, ']');
        break;
    case '"':
        value->type = JSON_STRING;
        value->string = parse_string(p);
        break;
    default:
        parse_word(p, value);
    }
    p->depth--;
}

Json *json_parse(const char *text, size_t length, char *error, size_t error_size)
{
    Parser p = {.start = text, .at = text, .end = text + length, .error = error, .error_size = error_size};
    Json *volatile root = calloc(1, sizeof *root);
    /* A document that fails is given up whole: its few allocations live as long as a process that stops. */
    if (root == NULL || setjmp(p.escape) != 0) {
        free(root);
        return NULL;
    }
    if (length > JSON_MAX_BYTES) {
        fail(&p, "document too large");
    }
    parse_value(&p, root);
    if (peek(&p) != '\0' || p.at != p.end) {
        fail(&p, "text after the document");
    }
    return root;
}

static void free_members(Json *value)
{
    for (size_t i = 0; i < value->count; i++) {
        free_members(&value->items[i]);
        if (value->keys != NULL) {
            free(value->keys[i]);
        }
    }
    free(value->items);
    free(value->keys);
    free(value->string);
}

void json_free(Json *value)
{
    if (value != NULL) {
        free_members(value);
        free(value);
    }
}

const Json *json_get(const Json *object, const char *key)
{
    for (size_t i = 0; i < object->count; i++) {
        if (object->keys[i] != NULL && strcmp(object->keys[i], key) == 0) {
            return &object->items[i];
        }
    }
    return NULL;
}
