/*
 * Decodes what a browser sends of a form (application/x-www-form-urlencoded) and prints its fields: query FILE.
 *
 * Fields are separated by '&'. A name goes up to '='; without one the value is "on". '+' is a blank, %XX a byte in
 * hexadecimal digits. Blanks at a value's end are dropped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 32, VALUE_SIZE = 64, MAX_FIELDS = 16 };

struct field {
	char *name, *value;
};

static struct field *fields[MAX_FIELDS];
static int nfields;

/* What a digit is worth, and 1 more. */
static const char digits[128] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static void fail(const char *why)
{
	fprintf(stderr, "query: %s\n", why);
	exit(2);
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		fail("out of memory");
	return p;
}

static char *copy(const char *text)
{
	return strcpy(allocate(strlen(text) + 1), text);
}

static int digit(char c)
{
	int worth = digits[(int)c];

	if (worth == 0)
		fail("broken escape");
	return worth - 1;
}

static void decode(const char *at, const char *end, char *out, size_t size)
{
	size_t n = 0;

	while (at < end) {
		char c = *at++;

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			c = (char)(digit(at[0]) << 4 | digit(at[1]));
			at += 2;
		}
		if (c == 0)
			fail("a zero byte");
		if (n == size)
			fail("too long");
		out[n++] = c;
	}
	out[n] = 0;
}

static void trim(char *value)
{
	char *last = value + strlen(value) - 1;

	while (*last == ' ')
		*last-- = 0;
}

static void parse_field(const char *at, const char *end)
{
	char name[NAME_SIZE], value[VALUE_SIZE] = "on";
	const char *mark = memchr(at, '=', (size_t)(end - at));

	decode(at, mark ? mark : end, name, sizeof name);
	if (mark)
		decode(mark + 1, end, value, sizeof value);
	trim(value);
	if (nfields > MAX_FIELDS)
		fail("too many fields");
	fields[nfields] = allocate(sizeof *fields[0]);
	fields[nfields]->name = copy(name);
	fields[nfields++]->value = copy(value);
}

static void parse(const char *at, const char *end)
{
	while (at < end) {
		const char *mark = memchr(at, '&', (size_t)(end - at));
		const char *stop = mark ? mark : end;

		if (stop > at)
			parse_field(at, stop);
		at = mark ? mark + 1 : end;
	}
}

static char *read_all(FILE *f, size_t *size)
{
	char *data = NULL, block[4096];
	size_t n;

	for (*size = 0; (n = fread(block, 1, sizeof block, f)) > 0; *size += n) {
		data = realloc(data, *size + n);
		if (!data)
			fail("out of memory");
		memcpy(data + *size, block, n);
	}
	return data;
}

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	char *data;
	size_t size;

	if (!f)
		fail("usage: query FILE");
	data = read_all(f, &size);
	fclose(f);
	if (data)
		parse(data, data + size);
	for (int i = 0; i < nfields; i++)
		printf("%s = %s\n", fields[i]->name, fields[i]->value);
	printf("%d fields\n", nfields);
	return 0;
}
