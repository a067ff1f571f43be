// SPDX-License-Identifier: GPL-2.0
/* What json.h says. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool.h"

static json_t *checked(json_t *value)
{
	if (!value) {
		complain("out of memory.");
		exit(STATUS_FAILED);
	}
	return value;
}

json_t *json_new_object(void)
{
	return checked(json_object());
}

json_t *json_new_array(void)
{
	return checked(json_array());
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, checked(value)))
		checked(NULL);
}

void json_put_number(json_t *object, const char *key, uint64_t number)
{
	json_put(object, key, json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number));
}

void json_put_text(json_t *object, const char *key, const char *text)
{
	json_t *value = text ? json_string(text) : json_null();
	char *clean;

	/* What is no UTF-8 is no JSON either. */
	if (!value) {
		clean = text_clean(text);
		value = json_string(clean);
		free(clean);
	}
	json_put(object, key, value);
}

void json_put_bool(json_t *object, const char *key, bool value)
{
	json_put(object, key, json_boolean(value));
}

void json_put_id(json_t *object, const char *key, uint64_t id)
{
	char *text = text_printf("%" PRIu64, id);

	json_put_text(object, key, text);
	free(text);
}

void json_put_address(json_t *object, const char *key, uint64_t address)
{
	char *text = text_printf("0x%" PRIx64, address);

	json_put_text(object, key, text);
	free(text);
}

void json_append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, checked(value)))
		checked(NULL);
}

json_t *json_lines(const char *lines)
{
	json_t *array = json_new_array();
	const char *end;

	for (; lines; lines = *end ? end + 1 : NULL) {
		end = strchrnul(lines, '\n');
		json_append(array, json_stringn(lines, (size_t)(end - lines)));
	}
	return array;
}

char *json_values(const char *lines, bool quoted)
{
	json_t *array = json_lines(lines);
	char *values = NULL, *value;
	size_t i;

	if (!quoted) {
		json_decref(array);
		return text_dup(lines);
	}
	for (i = 0; i < json_array_size(array); i++) {
		value = json_dumps(json_array_get(array, i), JSON_ENCODE_ANY);
		if (!value)
			checked(NULL);
		text_add_line(&values, value);
		free(value);
	}
	json_decref(array);
	return values;
}

json_t *json_bits(uint64_t bits)
{
	json_t *array = json_new_array();

	for (; bits; bits &= bits - 1)
		json_append(array, json_integer((json_int_t)(bits & -bits)));
	return array;
}

void json_print(json_t *value, bool one_line)
{
	/* A failure to write is seen by ferror() at the end. */
	json_dumpf(value, stdout, one_line ? JSON_COMPACT : JSON_INDENT(3));
	putchar('\n');
	json_decref(value);
}

char *text_clean(const char *text)
{
	json_t *value = json_string(text);
	char *copy = text_dup(text), *at;

	for (at = copy; *at; at++) {
		const unsigned char byte = (unsigned char)*at;

		/* U+0080 to U+009f, which terminals obey too, are two bytes. */
		if (byte == 0xc2 && (unsigned char)at[1] < 0xa0 && at[1]) {
			*at++ = '?';
			*at = '?';
		} else if (byte < ' ' || byte == 0x7f || (!value && byte & 0x80)) {
			*at = '?';
		}
	}
	json_decref(value);
	return copy;
}
