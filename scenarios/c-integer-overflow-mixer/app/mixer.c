/*
 * Mixes the tracks of a piece of music and says how loud it is: mixer FILE.
 *
 * The file is "MIX1", the number of frames (16 bits), the number of channels (8 bits), and steps up to the end of the
 * file. A frame is one sample (16 bits, signed) for each channel. All numbers are big-endian.
 *
 *   'T'  adds a track: the frame at which it begins, its number of frames (16 bits each), its samples
 *   'E'  adds an echo after a number of frames (16 bits, signed)
 *   'F'  fades in over a number of frames (16 bits)
 *   'R'  turns the piece round
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece {
	unsigned frames, channels;
	int16_t *samples;
};

static void fail(const char *why)
{
	fprintf(stderr, "mixer: %s\n", why);
	exit(2);
}

static unsigned take8(FILE *f)
{
	int c = getc(f);

	if (c == EOF)
		fail("truncated file");
	return (unsigned)c;
}

static uint16_t take16(FILE *f)
{
	unsigned high = take8(f);

	return (uint16_t)(high << 8 | take8(f));
}

static int16_t *new_samples(uint16_t count)
{
	int16_t *samples = calloc(count ? count : 1, sizeof *samples);

	if (!samples)
		fail("out of memory");
	return samples;
}

static int16_t *frame(const struct piece *p, long i)
{
	return p->samples + i * (long)p->channels;
}

static void add(int16_t *sample, int more)
{
	int sum = *sample + more;

	*sample = (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

static void read_header(struct piece *p, FILE *f)
{
	char magic[4];

	if (fread(magic, 1, sizeof magic, f) != sizeof magic || memcmp(magic, "MIX1", sizeof magic) != 0)
		fail("not a piece of music");
	p->frames = take16(f);
	p->channels = take8(f);
	p->samples = new_samples(p->frames * p->channels);
}

static void add_track(struct piece *p, FILE *f)
{
	uint16_t begin = take16(f), length = take16(f), end = begin + length;

	if (end > p->frames)
		fail("a track longer than its piece");
	for (unsigned i = 0; i < length; i++)
		for (unsigned c = 0; c < p->channels; c++)
			add(frame(p, (long)begin + i) + c, (int16_t)take16(f));
}

static void echo(struct piece *p, int16_t delay)
{
	if (delay > (int)p->frames)
		fail("an echo after the end");
	for (long i = delay; i < (long)p->frames; i++)
		for (unsigned c = 0; c < p->channels; c++)
			add(frame(p, i) + c, frame(p, i - delay)[c] / 2);
}

static void fade(struct piece *p, unsigned length)
{
	unsigned step = 65536 / length;

	for (unsigned i = 0; i < length && i < p->frames; i++)
		for (unsigned c = 0; c < p->channels; c++)
			frame(p, i)[c] = (int16_t)((long)frame(p, i)[c] * (long)(i * step) / 65536);
}

static void turn(struct piece *p)
{
	for (unsigned i = 0, j = p->frames - 1; i < j; i++, j--)
		for (unsigned c = 0; c < p->channels; c++) {
			int16_t sample = frame(p, i)[c];

			frame(p, i)[c] = frame(p, j)[c];
			frame(p, j)[c] = sample;
		}
}

static void work(struct piece *p, FILE *f)
{
	for (int tag; (tag = getc(f)) != EOF;)
		switch (tag) {
		case 'T': add_track(p, f); break;
		case 'E': echo(p, (int16_t)take16(f)); break;
		case 'F': fade(p, take16(f)); break;
		case 'R': turn(p); break;
		default: fail("no such step");
		}
}

static void print(const struct piece *p)
{
	int peak = 0;
	long sum = 0;

	for (unsigned i = 0; i < p->frames; i++)
		for (unsigned c = 0; c < p->channels; c++) {
			int sample = frame(p, i)[c];

			peak = abs(sample) > peak ? abs(sample) : peak;
			sum += sample * ((long)i + 1);
		}
	printf("%u frames, %u channels, peak %d, sum %ld\n", p->frames, p->channels, peak, sum);
}

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	struct piece p;

	if (!f)
		fail("usage: mixer FILE");
	read_header(&p, f);
	work(&p, f);
	fclose(f);
	print(&p);
	return 0;
}
