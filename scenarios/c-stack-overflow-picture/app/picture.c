/*
 * Reads a picture of palette colours, run-length encoded by rows, and prints what is in it.
 *
 * The file is "RLP1", width and height (16 bits each), the number of palette entries (16 bits), the entries (red,
 * green, blue, 8 bits each), then the rows. A row is a sequence of packets that fill its width: a byte below 0x80 is
 * followed by that many + 1 literal pixels, a byte from 0x80 on by one pixel that stands for (byte - 0x80) + 2. A comment
 * may follow: "#", its length (8 bits) and its text. All numbers are big-endian.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 1024, MAX_COLOURS = 256, MAX_COMMENT = 80 };

struct colour {
	uint8_t red, green, blue;
};

struct picture {
	unsigned width, height, ncolours;
	struct colour *palette;
	FILE *f;
};

static void fail(const char *why)
{
	fprintf(stderr, "picture: %s\n", why);
	exit(2);
}

static unsigned take8(FILE *f)
{
	int c = getc(f);

	if (c == EOF)
		fail("truncated file");
	return (unsigned)c;
}

static unsigned take16(FILE *f)
{
	unsigned high = take8(f);

	return high << 8 | take8(f);
}

static void read_palette(struct picture *p)
{
	struct colour colours[MAX_COLOURS];
	unsigned n = take16(p->f);

	for (unsigned i = 0; i < n; i++) {
		colours[i].red = (uint8_t)take8(p->f);
		colours[i].green = (uint8_t)take8(p->f);
		colours[i].blue = (uint8_t)take8(p->f);
	}
	p->ncolours = n;
	p->palette = calloc(n ? n : 1, sizeof *colours);
	if (!p->palette)
		fail("out of memory");
	memcpy(p->palette, colours, n * sizeof *colours);
}

static void read_header(struct picture *p)
{
	char magic[4];

	for (unsigned i = 0; i < sizeof magic; i++)
		magic[i] = (char)take8(p->f);
	if (memcmp(magic, "RLP1", sizeof magic) != 0)
		fail("not a picture");
	p->width = take16(p->f);
	p->height = take16(p->f);
	read_palette(p);
}

/* Grey of a pixel, from 0 to 255. */
static unsigned grey(const struct picture *p, unsigned pixel)
{
	const struct colour *c = &p->palette[pixel];

	return (c->red * 30u + c->green * 59u + c->blue * 11u) / 100u;
}

static void unpack_row(const struct picture *p, uint8_t *row)
{
	for (unsigned x = 0; x < p->width;) {
		unsigned packet = take8(p->f);

		if (packet < 0x80) {
			for (unsigned n = packet + 1; n > 0; n--)
				row[x++] = (uint8_t)take8(p->f);
		} else {
			unsigned pixel = take8(p->f);

			for (unsigned n = packet - 0x80 + 2; n > 0; n--)
				row[x++] = (uint8_t)pixel;
		}
	}
}

/* Prints a row as the mean grey of each of up to 16 parts. */
static void print_row(const struct picture *p)
{
	static const char shades[] = " .:-=+*#%@";
	uint8_t row[MAX_WIDTH];
	unsigned parts = p->width < 16 ? p->width : 16;

	unpack_row(p, row);
	for (unsigned part = 0; part < parts; part++) {
		unsigned from = p->width * part / parts, to = p->width * (part + 1) / parts, sum = 0;

		for (unsigned x = from; x < to; x++)
			sum += grey(p, row[x]);
		putchar(shades[sum / (to - from) * (sizeof shades - 2) / 255]);
	}
	putchar('\n');
}

static void print_comment(const struct picture *p)
{
	char comment[MAX_COMMENT + 1];
	unsigned length, i;

	if (getc(p->f) != '#')
		return;
	length = take8(p->f);
	for (i = 0; i < length; i++)
		comment[i] = (char)take8(p->f);
	comment[i] = 0;
	printf("# %s\n", comment);
}

int main(int argc, char **argv)
{
	struct picture p = {0};

	p.f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	if (!p.f)
		fail("usage: picture FILE");
	read_header(&p);
	printf("%ux%u, %u colours\n", p.width, p.height, p.ncolours);
	for (unsigned y = 0; y < p.height; y++)
		print_row(&p);
	print_comment(&p);
	free(p.palette);
	fclose(p.f);
	return 0;
}
