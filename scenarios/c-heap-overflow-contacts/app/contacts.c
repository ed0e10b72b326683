/*
 * Reads an address book and prints it.
 *
 * The file is "CBK1", a 16-bit count and as many records. A record is a tag (8 bits), the length of its body (16 bits)
 * and the body. All numbers are big-endian.
 *
 *   'C'  contact: the name
 *   'T'  telephones of the contact before: their count (8 bits), then each as a length (8 bits) and digits
 *   'P'  picture of the contact before: width, height (16 bits each), width * height grey values (8 bits)
 *
 * Other tags are skipped.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 48, MAX_CONTACTS = 256 };

struct contact {
	char *name;
	char **phones;
	unsigned nphones;
	unsigned width, height;
	uint8_t *picture;
};

/* What is left of a file or of a record. */
struct input {
	const uint8_t *at, *end;
};

static struct contact contacts[MAX_CONTACTS];
static unsigned ncontacts;

static void fail(const char *why)
{
	fprintf(stderr, "contacts: %s\n", why);
	exit(2);
}

static void *allocate(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	if (!p)
		fail("out of memory");
	return p;
}

static size_t left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

static const uint8_t *take(struct input *in, size_t length)
{
	const uint8_t *p = in->at;

	if (length > left(in))
		fail("truncated record");
	in->at += length;
	return p;
}

static unsigned take8(struct input *in)
{
	return *take(in, 1);
}

static unsigned take16(struct input *in)
{
	const uint8_t *p = take(in, 2);

	return (unsigned)p[0] << 8 | p[1];
}

static void parse_name(struct contact *c, struct input *body)
{
	size_t length = left(body);

	c->name = allocate(NAME_SIZE, 1);
	memcpy(c->name, take(body, length), length);
}

static void parse_phones(struct contact *c, struct input *body)
{
	unsigned count = take8(body);

	c->nphones = 0;
	c->phones = allocate(count, sizeof *c->phones);
	while (left(body) > 0) {
		unsigned length = take8(body);
		char *phone = allocate(length + 1, 1);

		memcpy(phone, take(body, length), length);
		c->phones[c->nphones++] = phone;
	}
}

static void parse_picture(struct contact *c, struct input *body)
{
	uint16_t size;

	c->width = take16(body);
	c->height = take16(body);
	size = c->width * c->height;
	c->picture = allocate(size, 1);
	for (unsigned y = 0; y < c->height; y++)
		memcpy(c->picture + (size_t)y * c->width, take(body, c->width), c->width);
}

static struct contact *last(void)
{
	if (ncontacts == 0)
		fail("a record without its contact");
	return &contacts[ncontacts - 1];
}

static void parse_record(struct input *in)
{
	unsigned tag = take8(in);
	size_t length = take16(in);
	struct input body = {in->at, in->at + length};

	if (tag == 'C' && ncontacts == MAX_CONTACTS)
		fail("too many contacts");
	if (tag == 'C')
		parse_name(&contacts[ncontacts++], &body);
	else if (tag == 'T')
		parse_phones(last(), &body);
	else if (tag == 'P')
		parse_picture(last(), &body);
	in->at = body.end;
}

static void parse_book(struct input *in)
{
	unsigned count;

	if (memcmp(take(in, 4), "CBK1", 4) != 0)
		fail("not an address book");
	for (count = take16(in); count > 0; count--)
		parse_record(in);
}

static void print(const struct contact *c)
{
	printf("%s", c->name);
	for (unsigned i = 0; i < c->nphones; i++)
		printf("%s%s", i ? ", " : ": ", c->phones[i]);
	if (c->picture) {
		unsigned long sum = 0, size = (unsigned long)c->width * c->height;

		for (unsigned long i = 0; i < size; i++)
			sum += c->picture[i];
		printf(" [%ux%u, mean %lu]", c->width, c->height, size ? sum / size : 0);
	}
	putchar('\n');
}

static uint8_t *read_all(FILE *f, size_t *size)
{
	uint8_t *data = NULL, block[4096];
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
	struct input in;
	size_t size;

	if (!f)
		fail("usage: contacts FILE");
	in.at = read_all(f, &size);
	in.end = in.at + size;
	fclose(f);
	parse_book(&in);
	for (unsigned i = 0; i < ncontacts; i++)
		print(&contacts[i]);
	printf("%u contacts\n", ncontacts);
	return 0;
}
