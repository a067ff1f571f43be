/* SPDX-License-Identifier: GPL-2.0 */
/* Objects that are no tables, by jansson. They own what is put into them; without memory the program ends. */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

json_t *json_new_object(void);
json_t *json_new_array(void);
void json_put(json_t *object, const char *key, json_t *value);
void json_put_number(json_t *object, const char *key, uint64_t number);
/* NULL is null. */
void json_put_text(json_t *object, const char *key, const char *text);
void json_put_bool(json_t *object, const char *key, bool value);
/* A number that means nothing but itself, as text: see json_put_address(). */
void json_put_id(json_t *object, const char *key, uint64_t id);
/* "0x…": numbers above 2^53 are not safe in JSON. */
void json_put_address(json_t *object, const char *key, uint64_t address);
void json_append(json_t *array, json_t *value);
/* Lines as an array of texts; NULL: an empty one. */
json_t *json_lines(const char *lines);
/* Lines as JSON values, a line each; to be freed. */
char *json_values(const char *lines, bool quoted);
/* The powers of two in a bitmap. */
json_t *json_bits(uint64_t bits);
/* To standard output, on one line or many, and frees it. */
void json_print(json_t *value, bool one_line);

#endif
